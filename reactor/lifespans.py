"""Lifespans: the application's own resources, entered before a replica starts and left after it has ended.

They are the application's code, so an error in one is told as its own, with the line, and not as ours.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any

from reactor.errors import BadArgument, ReactorError, SettingError, downward, kind_of, text_of
from reactor.settings import Settings

Lifespan = Callable[[Settings], AbstractAsyncContextManager[Any]]

_WRITE = "write @asynccontextmanager (of contextlib) above an `async def` that yields once"


class Resources:
    """What several lifespans gave: an attribute is looked for in each, in the order of inclusion."""

    def __init__(self, given: list[Any]) -> None:
        self._given = given

    def __getattr__(self, name: str) -> Any:
        for resource in self._given:
            if hasattr(resource, name):
                return getattr(resource, name)
        raise AttributeError(f"no lifespan gives {name!r}")

    def of(self, kind: type[Any]) -> Any:
        """The resource of this type."""
        for resource in self._given:
            if isinstance(resource, kind):
                return resource
        raise ReactorError(f"no lifespan gives a {kind.__name__}")


def check_lifespan(lifespan: Lifespan) -> None:
    """Refuses what can be seen to be none where it is registered. Raises BadArgument."""
    given: object = lifespan
    if not callable(given) or isinstance(given, AbstractAsyncContextManager):
        raise BadArgument(
            f"a lifespan is a function of the settings, not {given!r:.80}", hint="leave out its parentheses"
        )
    if inspect.isasyncgenfunction(given) or inspect.iscoroutinefunction(given):
        raise BadArgument(f"lifespan {_name(lifespan)} is no async context manager", hint=_WRITE)


@asynccontextmanager
async def entered(lifespans: Sequence[Lifespan], settings: Settings) -> AsyncIterator[Any]:
    """What they give, for as long as the block lasts. SettingError names the one that cannot be entered."""
    async with AsyncExitStack() as stack:
        given = [await _enter(stack, lifespan, settings) for lifespan in lifespans]
        yield Resources(given) if len(given) > 1 else given[0] if given else None


async def _enter(stack: AsyncExitStack, lifespan: Lifespan, settings: Settings) -> Any:
    try:
        manager: object = lifespan(settings)
        if not isinstance(manager, AbstractAsyncContextManager):
            kind = type(manager).__name__
            raise BadArgument(
                f"lifespan {_name(lifespan)} gives a {kind} and no async context manager{_place(lifespan)}",
                hint=_WRITE,
            )
        resource = await manager.__aenter__()
    except ReactorError:
        raise  # it is meant for people as it is
    except Exception as error:
        raise _told(lifespan, error, "cannot be entered", SettingError) from error

    async def leave(
        kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            suppressed: bool | None = await manager.__aexit__(kind, raised, trace)
        except ReactorError:
            raise
        except Exception as error:
            if error is raised:
                raise
            raise _told(lifespan, error, "failed at its end", ReactorError) from error
        return suppressed

    stack.push_async_exit(leave)
    return resource


def _told(lifespan: Lifespan, error: Exception, what: str, kind: type[ReactorError]) -> ReactorError:
    *_, cause = downward(error)
    text, _, more = text_of(cause).strip().partition("\n")
    said = f"{kind_of(cause)}: {text}" if text else kind_of(cause)
    return kind(f"lifespan {_name(lifespan)} {what}: {said}{_place(lifespan, cause)}", detail=more or None)


def _name(lifespan: Lifespan) -> str:
    return f"{getattr(lifespan, '__module__', '')}.{getattr(lifespan, '__qualname__', repr(lifespan))}"


def _place(lifespan: Lifespan, error: BaseException | None = None) -> str:
    """The file and, of an error, the line in it that was reached last."""
    code = getattr(inspect.unwrap(lifespan), "__code__", None)
    if code is None:
        return ""
    line, trace = code.co_firstlineno, error.__traceback__ if error is not None else None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == code.co_filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" ({code.co_filename}, line {line})"
