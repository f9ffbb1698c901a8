"""A call of the application's in a task of its own."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from reactor.errors import ReactorError

T = TypeVar("T")


async def apart(name: str, call: Callable[[], Awaitable[T]]) -> T:
    """What ``call`` comes to, in a task called ``name``. Cancelled with ours, and waited for.

    A cancel scope that it leaves open, in a generator that nobody closes, is an error of its own: a task of
    ours in which one is open ends its task group, and with it the replica.
    """
    scope = anyio.CancelScope()
    came: list[T] = []
    caught: list[BaseException] = []

    async def inside() -> None:
        try:
            with scope:
                came.append(await call())
        except BaseException as error:
            # Not raised in here: sys.exit() would end the loop.
            caught.append(error)

    task = asyncio.create_task(inside(), name=name)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
            if anyio.current_effective_deadline() > -math.inf:
                task.cancel()  # its time is over
                continue
            scope.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([task])
    if cancelled is not None:
        raise cancelled
    if came and caught:
        raise ReactorError(
            f"{name} left a cancel scope open",
            hint="close the generator that it is in: `async with aclosing(…)`",
        ) from caught[0]
    if caught:
        raise caught[0]
    if not came:
        raise ReactorError(f"the task of {name} was cancelled, and not by the reactor")
    return came[0]
