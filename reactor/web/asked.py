"""What a request asks for, in its query or its document: the same words as the options of the commands."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from reactor.db.calls import Connection
from reactor.db.named import dead_tenant_id, tenant_id
from reactor.errors import BadArgument
from reactor.handlers import parse_duration

#: Rows of a page, and of an answer of the API, which may ask for more.
PAGE = 50
_MOST = 1000


class Asked:
    """Named values; each is read by what it must be. Raises BadArgument, which names the one that is
    wrong."""

    def __init__(self, given: Mapping[str, object]) -> None:
        self._given = given

    def text(self, name: str) -> str | None:
        value = self._given.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise BadArgument(f"{name} is text, not {value!r:.60}")
        if "\0" in value:
            raise BadArgument(f"{name} is text without NUL, which no database can hold")
        return value.strip() or None

    def one_of(self, name: str, *words: str) -> str | None:
        value = self.text(name)
        if value is not None and value not in words:
            raise BadArgument(f"{name} is one of {', '.join(words)}, not '{value[:60]}'")
        return value

    def number(self, name: str) -> int | None:
        value = self._given.get(name)
        if value is None or value == "":
            return None
        text = str(value)
        if isinstance(value, bool) or not text.isascii() or not text.isdecimal() or len(text) > 18:
            raise BadArgument(f"{name} is a whole number, not '{text[:60]}'")
        return int(text)

    def limit(self, default: int = PAGE) -> int:
        value = self.number("limit")
        if value is None:
            return default
        if not 1 <= value <= _MOST:
            raise BadArgument(f"limit is 1 to {_MOST}, not {value}")
        return value

    def flag(self, name: str) -> bool:
        return self._given.get(name) in (True, "true", "yes", "1", "on")

    def since(self) -> timedelta | None:
        value = self.text("since")
        return parse_duration(value) if value is not None else None

    def uuid(self, name: str) -> UUID | None:
        value = self.text(name)
        return as_uuid_of(name, value) if value is not None else None

    def several(self, name: str) -> list[str]:
        """Several; numbers among them as text."""
        value = self._given.get(name)
        if value is None:
            return []
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str | int) for each in values):
            raise BadArgument(f"{name} is a list of ids")
        return [str(each) for each in values]

    def uuids(self, name: str) -> list[UUID]:
        return [as_uuid_of(name, each) for each in self.several(name)]

    def behind(self) -> tuple[str, str] | None:
        """Where the page before ended, as :func:`cursor` writes it."""
        value = self.text("after")
        if value is None:
            return None
        at, tilde, id_ = value.rpartition("~")
        if not tilde:
            raise BadArgument("after is what an answer named as its next page")
        return at, id_

    async def tenant(self, connection: Connection, *, gone: bool = False) -> UUID | None:
        """By its id or its name; with ``gone`` also one of which only dead events are left."""
        value = self.text("tenant")
        if value is None:
            return None
        return await (dead_tenant_id if gone else tenant_id)(connection, value)


def as_uuid_of(name: str, value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise BadArgument(f"{name} is a UUID, not '{value[:60]}'") from None
