"""Times as people say them; JSON keeps ISO 8601."""

from datetime import UTC, datetime, timedelta

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def lasting(duration: timedelta | float | str | None) -> str:
    """A length of time, a number being seconds: ``850 ms``, ``12 s``, ``2 h 5 min``; ``-`` for None.

    Text is what the server says instead of a number: ``Infinity``.
    """
    if duration is None:
        return "-"
    if isinstance(duration, str):
        return duration.lower()
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if seconds < 0:
        return f"-{lasting(-seconds)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10 and not isinstance(seconds, int):
        return f"{seconds:.1f} s"
    rest = int(seconds)
    said: list[str] = []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            said.append(f"{count} {unit}")
        elif said:
            break
        if len(said) == 2:
            break
    return " ".join(said)


def ago(at: datetime | str | None, now: datetime) -> str:
    """An instant as seen from ``now``: ``3 min ago``, ``in 20 s``; ``-`` for None. Text is ISO 8601.

    One beyond our calendar is shown as the server writes it.
    """
    if at is None:
        return "-"
    if isinstance(at, str):
        known = _within(at)
        if known is None:
            return at
        at = known
    passed = (now - at).total_seconds()
    if abs(passed) < 1:
        return "now"
    return f"{lasting(round(passed))} ago" if passed > 0 else f"in {lasting(round(-passed))}"


def moment(text: str) -> datetime:
    """An instant as the server writes it in JSON; what is beyond our calendar is one of its ends."""
    known = _within(text)
    if known is not None:
        return known
    early = text == "-infinity" or text.endswith(" BC")
    return datetime.min.replace(tzinfo=UTC) if early else datetime.max.replace(tzinfo=UTC)


def _within(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        # "infinity", a year BC or one of five digits; anything else is a defect of ours.
        if text.endswith((" BC", "infinity")) or text.partition("-")[0].isdecimal():
            return None
        raise


def many(count: int, noun: str) -> str:
    """``1 event``, ``2 events``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def shorten(text: str, longest: int = 80) -> str:
    """The first line of a text, cut where a table would burst."""
    line = text.strip().split("\n", 1)[0]
    return line if len(line) <= longest else line[: longest - 1] + "…"
