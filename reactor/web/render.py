"""Templates: everything that comes from the database is escaped, and shown as text that is on one side."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, Response

from reactor.db.json_text import to_json
from reactor.telemetry.words import ago, lasting, many, moment, shorten

_HERE = Path(__file__).parent
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

#: A document that is longer is cut; the API has it whole.
_LONGEST = 20_000


class Renderer:
    """The templates, and the few files that pages refer to."""

    def __init__(self) -> None:
        self._files = {
            file.name: (file.read_bytes(), _KINDS[file.suffix]) for file in (_HERE / "static").iterdir()
        }
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_finalize,
            auto_reload=False,
        )
        self._environment.filters.update(
            ago=_ago,
            lasting=lasting,
            many=many,
            shorten=shorten,
            document=_document,
            count=_count,
            commands=_commands,
        )
        self._environment.globals.update(static=self._static)

    def page(self, template: str, facts: Mapping[str, Any], status: int = 200) -> Response:
        return HTMLResponse(self.text(template, facts), status)

    def text(self, template: str, facts: Mapping[str, Any]) -> str:
        return self._environment.get_template(template).render(facts)

    def _static(self, name: str) -> str:
        """The address of a file; it changes with what is in it, so a browser may keep it."""
        content, _ = self._files[name]
        return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"

    def file(self, name: str) -> Response:
        """Raises KeyError when there is none."""
        content, kind = self._files[name]
        return Response(
            content, media_type=kind, headers={"Cache-Control": "public, max-age=31536000, immutable"}
        )


def address(path: str, parameters: Mapping[str, object]) -> str:
    """A path with those parameters that say something."""
    query = urlencode({name: value for name, value in parameters.items() if value not in (None, "", False)})
    return f"{path}?{query}" if query else path


def curve(values: list[float], top: float, width: int = 240, height: int = 40) -> str:
    """The points of a line through the values, of which none is above ``top``, for an SVG of this size."""
    step = width / max(len(values) - 1, 1)
    return " ".join(
        f"{n * step:.1f},{height - 1 - (height - 2) * value / (top or 1):.1f}"
        for n, value in enumerate(values)
    )


def _finalize(value: object) -> object:
    """Of text of any origin: what nobody can see may hide something, or turn the direction of reading."""
    if value is None:
        return "-"
    if isinstance(value, Markup) or not isinstance(value, str) or value.isprintable():
        return value
    return "".join(ch if ch.isprintable() or ch in "\n\t" else "\N{REPLACEMENT CHARACTER}" for ch in value)


def _count(value: int) -> str:
    return f"{value:,}"


def _ago(at: datetime | str | None, now: datetime) -> Markup | str:
    """As the command line says it, and exactly for whoever points at it; a script keeps it true."""
    said = ago(at, now)
    if at is None or said == at:
        return said
    exact = (moment(at) if isinstance(at, str) else at).isoformat(timespec="seconds")
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(exact, said)


def _commands(text: str) -> Markup:
    """A sentence of the command line's: what is to be typed is in backticks there."""
    pieces = re.split(r"`(reactor [^`]+)`", str(_finalize(text)))  # every second one was in them
    return Markup("").join(
        Markup("<code>{0}</code>").format(piece) if n % 2 else escape(piece) for n, piece in enumerate(pieces)
    )


def _document(value: object) -> str:
    """JSON for people."""
    text = to_json(value, indented=True)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "\n… (the API has all of it)"
