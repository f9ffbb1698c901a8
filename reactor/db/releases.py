"""Which release put its functions there: how an older program knows that a database is newer.

Functions are replaced in place, and a changed text does not say which of two is the newer. So a migration
notes its release beside the files, as ``release/0.2.0``, before it runs the first of them: from then on older
replicas start beside what is there, and an older `reactor migrate` leaves it alone.
"""

import re
from collections.abc import Iterable
from importlib.metadata import version

from reactor.db.pool import Connection

_PREFIX = "release/"
_VERSION = re.compile(r"^\s*v?(\d+(?:\.\d+)*)[._-]?(dev|a|b|rc|post)?[._-]?(\d*)")
# As PEP 440 orders them; a version as such is in their midst.
_STAGES = ("dev", "a", "b", "rc", "", "post")


def own() -> str:
    """The release of this program."""
    return version("reactor")


def later(names: Iterable[str], release: str) -> list[str]:
    """Those of the names in the table of migrations that are releases later than this one, in their order."""
    found = [name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX)]
    return [_PREFIX + name for name in sorted(found, key=_rank) if _rank(name) > _rank(release)]


def is_file(name: str) -> bool:
    """Whether a name in the table of migrations is one of a file."""
    return not name.startswith(_PREFIX)


async def note(connection: Connection, release: str) -> None:
    """That this release migrates the database."""
    await connection.execute(
        "insert into reactor.migrations (name, checksum, duration_ms) values ($1, '', 0)"
        " on conflict do nothing",
        _PREFIX + release,
    )


async def forget(connection: Connection, names: list[str]) -> None:
    """Releases whose functions are replaced by an older one's."""
    await connection.execute("delete from reactor.migrations where name = any ($1::text[])", names)


def _rank(release: str) -> tuple[tuple[int, ...], int, int]:
    match = _VERSION.match(release.lower())
    if match is None:
        return ((), 0, 0)
    numbers = [int(part) for part in match[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return (tuple(numbers), _STAGES.index(match[2] or ""), int(match[3] or 0))
