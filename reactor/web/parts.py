"""The pieces of pages that change by themselves: made once of each look, whoever watches, and named by their
ids.

They are the same for everybody, so nothing in them may be somebody's own, as the token of a form is.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from reactor.telemetry import overview
from reactor.telemetry.words import moment
from reactor.web.live import Look
from reactor.web.render import Renderer, address, curve

PARTS = ("bar", "needs", "counts", "pulse", "facts", "replicas", "types")


def parts_of(look: Look, named: Iterable[str], render: Renderer, database: int) -> dict[str, str]:
    """HTML by id; names of no part are passed over."""
    for part in named:
        if part in PARTS and part not in look.parts:
            look.parts[part] = render.text(f"parts/{part}.html", seen(look, database))
    return {part: look.parts[part] for part in named if part in look.parts}


def seen(look: Look, database: int) -> Mapping[str, Any]:
    """What the pieces say, of a look that saw something or not."""
    status = look.status
    facts: dict[str, Any] = {
        "look": look,
        "status": status,
        "link": lambda path, **more: address(path, {**more, "database": database if database > 1 else None}),
    }
    if status is None:
        return facts
    top = max((max(pair) for pair in look.curve), default=0.0)
    return facts | {
        "now": moment(status["at"]),
        "facts": [fact for fact in overview.facts(status, look.before) if fact[0] not in ("events", "rate")],
        "needs": list(overview.needs(status)),
        "rate": overview.rates(status, look.before) if look.before else None,
        "curves": [curve([pair[n] for pair in look.curve], top) for n in (0, 1)]
        if len(look.curve) > 1
        else None,
    }
