"""Parses every SQL file with PostgreSQL's own grammar, the bodies of plpgsql functions included.

Run by `make check`. Prints one line for each mistake and exits 1 when there is one.
"""

import sys
from pathlib import Path

from pglast import ast, parse_plpgsql, parse_sql
from pglast.parser import ParseError
from pglast.stream import RawStream

from reactor.db import sqlfiles


def main() -> int:
    """Checks all files; 1 when something is wrong."""
    mistakes = [line for file in sqlfiles.load(Path("sql")) for line in check(file)]
    for line in mistakes:
        print(line, file=sys.stderr)
    return 1 if mistakes else 0


def check(file: sqlfiles.SqlFile) -> list[str]:
    """The mistakes of one file."""
    path = f"sql/{file.name}.sql"
    try:
        statements = parse_sql(file.text)
    except ParseError as error:
        return [f"{path}:{_line(file.text, error)}: {error.args[0]}"]
    mistakes = []
    for raw in statements:
        statement = raw.stmt
        if isinstance(statement, ast.TransactionStmt):
            mistakes.append(f"{path}: the runner opens and ends transactions, not the file")
        if isinstance(statement, ast.CreateFunctionStmt) and _language(statement) == "plpgsql":
            try:
                parse_plpgsql(RawStream()(statement))
            except ParseError as error:
                # The parser knows neither types of our own nor tables; the server checks the rest.
                told = str(error.args[0])
                if not (told.startswith("Not implemented") or told.endswith("has pseudo-type _record")):
                    mistakes.append(f"{path}: in a plpgsql body: {error.args[0]}")
    return mistakes


def _language(statement: ast.CreateFunctionStmt) -> str:
    for option in statement.options or ():
        if option.defname == "language":
            return str(option.arg.sval)
    return ""


def _line(text: str, error: ParseError) -> int:
    place = getattr(error, "location", None) or (error.args[1] if len(error.args) > 1 else 0)
    return text.encode()[: int(place or 0)].count(b"\n") + 1


if __name__ == "__main__":
    sys.exit(main())
