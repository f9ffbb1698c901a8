"""The SQL files: where they are, what their headers say, in which order they run."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from reactor.errors import MigrationError

Kind = Literal["schema", "functions", "triggers"]

# Versioned files run first, then what they are used by.
KINDS: tuple[Kind, ...] = ("schema", "functions", "triggers")
_HEADER = re.compile(r"^--!\s*(?P<key>[a-z-]+)\s*(?::\s*(?P<value>.*))?$")
_VERSIONED = re.compile(r"^\d{4}_[a-z0-9_]+$")


@dataclass(frozen=True, slots=True)
class SqlFile:
    """One file. ``name`` is ``kind/stem``, e.g. ``schema/0100_outbox``."""

    kind: Kind
    stem: str
    text: str
    requires: tuple[str, ...] = ()
    transaction: bool = True
    #: SHA-256 of the text; line ends and trailing blanks of a checkout do not count
    checksum: str = field(init=False)

    def __post_init__(self) -> None:
        lines = (line.rstrip() for line in self.text.strip().splitlines())
        object.__setattr__(self, "checksum", hashlib.sha256("\n".join(lines).encode()).hexdigest())

    @property
    def name(self) -> str:
        """How the file is called in the table of migrations."""
        return f"{self.kind}/{self.stem}"

    @property
    def versioned(self) -> bool:
        """Whether it runs once and is never edited; otherwise it runs again when it changes."""
        return self.kind == "schema"


def sql_dir() -> Path:
    """The SQL of an installed wheel (``reactor/_sql``), or that of the checkout."""
    package = Path(__file__).parents[1]
    for candidate in (package / "_sql", package.parent / "sql"):
        if (candidate / "schema").is_dir():
            return candidate
    raise MigrationError(
        "the SQL files of this installation are missing",
        hint="install the wheel again, or run from a complete checkout",
    )


def load(directory: Path | None = None) -> list[SqlFile]:
    """All files in the order in which they run on an empty database."""
    directory = directory or sql_dir()
    found: list[SqlFile] = []
    for kind in KINDS:
        files = [_read(kind, path) for path in sorted((directory / kind).glob("*.sql"))]
        found += files if kind == "schema" else _ordered(files)
    _check_numbers(found)
    return found


def _read(kind: Kind, path: Path) -> SqlFile:
    text = path.read_text(encoding="utf-8")
    requires: tuple[str, ...] = ()
    transaction = True
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header is None:
            break
        key, value = header["key"], header["value"] or ""
        if key == "requires" and kind != "schema":
            requires += tuple(part.strip() for part in value.split(",") if part.strip())
        elif key == "no-transaction" and not value:
            transaction = False
        else:
            raise MigrationError(f"{kind}/{path.name}: unknown header '{line}'")
    if kind == "schema" and not _VERSIONED.match(path.stem):
        raise MigrationError(f"schema/{path.name}: its name must be NNNN_lower_case.sql")
    return SqlFile(kind, path.stem, text, requires, transaction)


def _ordered(files: Iterable[SqlFile]) -> list[SqlFile]:
    """By name, but each after those that it requires. A required file of another kind has run before."""
    by_name = {file.stem: file for file in files}
    done: dict[str, SqlFile] = {}

    def visit(file: SqlFile, path: tuple[str, ...]) -> None:
        if file.stem in path:
            raise MigrationError(f"{file.name} requires itself: {' → '.join((*path, file.stem))}")
        for needed in file.requires:
            if needed == file.stem and file.kind == "triggers":
                continue  # a trigger and its function may share a name
            if needed in by_name:
                visit(by_name[needed], (*path, file.stem))
            elif file.kind == "functions":
                raise MigrationError(f"{file.name} requires '{needed}', which does not exist")
        done.setdefault(file.stem, file)

    for file in by_name.values():
        visit(file, ())
    return list(done.values())


def _check_numbers(files: Iterable[SqlFile]) -> None:
    seen: dict[str, str] = {}
    for file in files:
        if file.versioned:
            number = file.stem[:4]
            if number in seen:
                raise MigrationError(
                    f"two versioned files have the number {number}: {seen[number]}, {file.stem}"
                )
            seen[number] = file.stem
