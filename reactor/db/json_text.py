"""JSON between the server and Python, with every number and level as it was written."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from pydantic import SecretStr

# What is nested deeper stays text: Postgres takes thousands of levels, orjson reads 1024 and writes 254.
_LEVELS = 200
_JSON_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|(?P<open>[\[{])|(?P<close>[\]}])|(?P<comma>,)', re.DOTALL)


def to_json(value: object, *, indented: bool = False) -> str:
    """JSON text; Decimal becomes a string, since a float would change the amount."""
    form = orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indented else 0)
    return orjson.dumps(value, default=_simple, option=form).decode()


def read_json(text: str) -> Any:
    """What a json or jsonb holds. What no reader of ours can hold stays text within it (see read_exactly).

    The driver calls it: an error here would make a whole row unreadable for one odd value in it.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return read_exactly(text)


def read_exactly(text: str, *, outer: int = 3) -> Any:
    """JSON text of the server, of which :func:`to_json` makes the same again.

    A number that a float or a bigint would change, and what is nested deeper than can be read or written,
    is an ``orjson.Fragment``: its text. ``outer``: so many levels of a deep document are taken apart.
    """
    if _depth(text) <= _LEVELS:
        return json.loads(text, parse_float=_fraction, parse_int=_whole)
    if not outer:
        return orjson.Fragment(text.strip())
    text = text.strip()
    if text.startswith("["):
        return [read_exactly(member, outer=outer - 1) for member in _members(text)]
    found: dict[str, Any] = {}
    for member in _members(text):
        key, end = json.JSONDecoder().raw_decode(member.lstrip())
        found[key] = read_exactly(member.lstrip()[end:].lstrip().removeprefix(":"), outer=outer - 1)
    return found


def _fraction(written: str) -> float | orjson.Fragment:
    number = float(written)
    return number if Decimal(repr(number)) == Decimal(written) else orjson.Fragment(written)


def _whole(written: str) -> int | orjson.Fragment:
    # All of a bigint's, and nothing that orjson would refuse.
    return int(written) if len(written) < 20 and abs(int(written)) < 2**63 else orjson.Fragment(written)


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _JSON_TOKEN.finditer(text):
        depth += {"open": 1, "close": -1}.get(token.lastgroup or "", 0)
        deepest = max(deepest, depth)
    return deepest


def _members(text: str) -> Iterator[str]:
    """The texts of the members of one array or object, with their keys."""
    depth, start = 0, 1
    for token in _JSON_TOKEN.finditer(text):
        depth += {"open": 1, "close": -1}.get(token.lastgroup or "", 0)
        if token.lastgroup == "comma" and depth == 1:
            yield text[start : token.start()]
            start = token.end()
    yield text[start:-1]


def _simple(value: object) -> str:
    # The driver's UUID is a class of its own, which orjson does not know.
    if isinstance(value, Decimal | SecretStr | UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
