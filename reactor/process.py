"""What a process does that is the reactor's alone, as `reactor run` is."""

import gc

#: New objects until the youngest are looked through, and how often the older ones are. A claim alone makes
#: thousands that are gone, by counting, milliseconds later; looking for circles among them was a third of
#: the work.
_THRESHOLD = (20_000, 20, 50)


def tune() -> None:
    """Call it when everything is imported: what exists then is never collected again."""
    gc.freeze()
    gc.set_threshold(*_THRESHOLD)
