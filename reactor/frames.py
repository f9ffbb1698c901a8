"""Where in the user's own code a handler or a job failed or stands: the last few frames, without locals.

The engine's frames tell nobody anything, and those of libraries only that the handler called them. Whoever
has no code of their own there (the built-in automations, an app that is installed as a package) gets the
frames of the package that the engine called.
"""

import asyncio
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from itertools import dropwhile
from os import sep
from pathlib import Path
from types import CodeType, FrameType, TracebackType

from reactor.errors import downward

#: So many of the innermost frames, each at most so long, in characters.
_FRAMES = 3
_LONGEST = 200

_LIBRARY = str(Path(__file__).parent)
#: What calls handlers and jobs.
_ENGINE = str(Path(_LIBRARY) / "engine")
_CALLERS = tuple(f"{Path(_LIBRARY) / name}{sep}" for name in ("engine", "upkeep"))
_FITTING = str(Path(_LIBRARY) / "events.py")
_STANDARD = tuple(f"{sysconfig.get_path(name)}{sep}" for name in ("stdlib", "platstdlib"))
_INSTALLED = re.compile(r"(.*[/\\](?:site|dist)-packages[/\\][^/\\]+)")

_Place = tuple[CodeType, int]


def where_raised(error: BaseException) -> list[str]:
    """Where an error came from, the innermost frame last; of a group, where its first one did."""
    return _told([place for each in downward(error) for place in _raised(each)])


def traceback_of(error: BaseException) -> TracebackType | None:
    """The interpreter's own record, whatever the error's class makes of the attribute."""
    trace: TracebackType | None = vars(BaseException)["__traceback__"].__get__(error)
    return trace


def where_suspended(task: asyncio.Task[None]) -> list[str]:
    """Where a task waits. ``Task.get_stack`` stops at the first coroutine, which is not the handler's."""
    return _told(_awaited(task.get_coro()))


def where_running(frame: FrameType) -> list[str]:
    """Where a thread is at this moment; what started the engine is left out."""
    places: list[_Place] = []
    at: FrameType | None = frame
    while at is not None:
        places.append((at.f_code, at.f_lineno))
        at = at.f_back
    places.reverse()
    called = list(dropwhile(lambda place: _origin(place[0].co_filename) != _ENGINE, places))
    return _told(called or places)


def is_ours(file: str) -> bool:
    """Whether a source file is the library's own."""
    return file.startswith(_LIBRARY + sep)


def _raised(error: BaseException) -> Iterator[_Place]:
    trace = traceback_of(error)
    while trace is not None:
        yield trace.tb_frame.f_code, trace.tb_lineno
        trace = trace.tb_next


def _awaited(awaited: object) -> Iterator[_Place]:
    """Coroutines, generators and asynchronous generators name the same things differently."""
    while awaited is not None:
        for kind, inner in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
            frame = getattr(awaited, f"{kind}_frame", None)
            if isinstance(frame, FrameType):
                yield frame.f_code, frame.f_lineno
                awaited = getattr(awaited, inner, None)
                break
        else:
            return


def _told(places: Iterable[_Place]) -> list[str]:
    known = [(_origin(code.co_filename), code, line) for code, line in places]
    known = [place for place in known if place[0] != _ENGINE]
    if not known:
        return []
    own = [place for place in known if not place[0]]
    # The first one that the engine called is the handler, or a middleware of its app; or it only compared the
    # payload with its model, and no handler was called.
    if not own and known[0][1].co_filename != _FITTING:
        own = [place for place in known if place[0] == known[0][0]]
    return [_line(code, line) for _, code, line in own[-_FRAMES:]]


def _origin(file: str) -> str:
    """Whose code it is: empty for the user's own, else what tells one library from another."""
    if file.startswith(_CALLERS):
        return _ENGINE
    if file.startswith(_LIBRARY + sep):
        return _LIBRARY
    if file.startswith("<") or file.endswith((".pyx", ".pxd", ".pxi")):
        return "built in"
    if installed := _INSTALLED.match(file):
        return installed[1]
    return sys.prefix if file.startswith(_STANDARD) else ""


def _line(code: CodeType, line: int) -> str:
    text = f"{code.co_filename}:{line} {code.co_qualname}"
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"
