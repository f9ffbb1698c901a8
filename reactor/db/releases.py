"""Which build put its functions there: how an older program knows that a database is newer.

Functions are replaced in place, and a changed text does not say which of two is the newer. So a migration
notes its build beside the files before it runs the first of them: from then on older replicas start beside
what is there, and an older `reactor migrate` leaves it alone.

A build is a release and the digest of its SQL files. Of two releases the number tells which is later. Of two
builds of one release, which nothing tells apart but their files, that one is older which was here before the
other: noted are ``release/0.2.0-1``, ``release/0.2.0-2``, in the order in which they came. One that was never
here comes last.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from reactor.db.pool import Connection
from reactor.db.sqlfiles import SqlFile

_PREFIX = "release/"
_VERSION = re.compile(r"^\s*v?(\d+(?:\.\d+)*)[._-]?(dev|a|b|rc|post)?[._-]?(\d*)")
# As PEP 440 orders them; a version as such is in their midst.
_STAGES = ("dev", "a", "b", "rc", "", "post")
_NOTED = re.compile(r"^release/(?P<release>.*?)(?:-(?P<place>\d+))?$", re.DOTALL)

_Rank = tuple[tuple[int, ...], int, int]


@dataclass(frozen=True, slots=True)
class Build:
    """What a program is to a database."""

    release: str
    digest: str


def build(files: Iterable[SqlFile], release: str | None = None) -> Build:
    """That of these files; of this program's release unless another is given."""
    texts = "\n".join(sorted(f"{file.name} {file.checksum}" for file in files))
    return Build(release or version("reactor"), hashlib.sha256(texts.encode()).hexdigest())


def later(done: Mapping[str, str], own: Build) -> list[str]:
    """Those of the names in the table of migrations that are builds later than this one, in their order."""
    noted = sorted((*_place(name), name) for name in done if not is_file(name))
    rank = _rank(own.release)
    came = [place for at, place, name in noted if at == rank and done[name] == own.digest]
    # One that was never here is later than all of its release.
    return [name for at, place, name in noted if at > rank or (at == rank and came and place > max(came))]


def is_file(name: str) -> bool:
    """Whether a name in the table of migrations is one of a file."""
    return not name.startswith(_PREFIX)


async def note(connection: Connection, done: Mapping[str, str], own: Build) -> None:
    """That this build, which is the latest, migrates the database: after those of ``done``."""
    rank = _rank(own.release)
    places = {_place(name)[1]: done[name] for name in done if not is_file(name) and _place(name)[0] == rank}
    latest = max(places, default=0)
    if places.get(latest) != own.digest:
        await connection.execute(
            "insert into reactor.migrations (name, checksum, duration_ms) values ($1, $2, 0)",
            f"{_PREFIX}{own.release}-{latest + 1}",
            own.digest,
        )


async def forget(connection: Connection, names: list[str]) -> None:
    """Builds whose functions are replaced by an older one's."""
    await connection.execute("delete from reactor.migrations where name = any ($1::text[])", names)


def _place(name: str) -> tuple[_Rank, int]:
    """A noted build's release, and the how manieth of it that was; 0 where builds were not noted yet."""
    match = _NOTED.match(name)
    return (_rank(match["release"]), int(match["place"] or 0)) if match else (((), 0, 0), 0)


def _rank(release: str) -> _Rank:
    match = _VERSION.match(release.lower())
    if match is None:
        return ((), 0, 0)
    numbers = [int(part) for part in match[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return (tuple(numbers), _STAGES.index(match[2] or ""), int(match[3] or 0))
