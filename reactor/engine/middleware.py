"""Calls a handler through the layers that its app put around it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from reactor.context import Context
from reactor.errors import ReactorError
from reactor.handlers import Middleware, Subscription, refuse_unawaited


async def through(
    layers: Sequence[Middleware], subscription: Subscription, argument: Any, ctx: Context
) -> None:
    """Call the handler with ``argument``, inside of ``layers``, the outermost first.

    Raises ReactorError when one of them did not await what it was given, and whatever they raise themselves.
    """
    asked = at_work = 0

    def next_of(step: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def begin() -> None:
            nonlocal asked, at_work
            asked -= 1
            at_work += 1
            try:
                await step()
            finally:
                at_work -= 1

        def call_next() -> Awaitable[None]:
            nonlocal asked
            asked += 1
            return begin()

        return call_next

    async def innermost() -> None:
        refuse_unawaited(f"handler {subscription.name}", await subscription.function(argument, ctx))

    call: Callable[[], Awaitable[None]] = innermost
    for layer in reversed(layers):
        following = next_of(call)

        async def wrapped(layer: Any = layer, inner: Any = following) -> None:
            name = getattr(layer, "__qualname__", repr(layer))
            refuse_unawaited(f"middleware {name}", await layer(ctx.events, ctx, inner))

        call = wrapped
    await call()
    if asked:
        raise ReactorError(
            f"a middleware did not await call_next(), so handler {subscription.name} was not called",
            hint="write `await call_next()`, or leave it out to handle nothing",
        )
    if at_work:
        raise ReactorError(
            f"a middleware returned before call_next() had ended: handler {subscription.name} was at work",
            hint="await the task that call_next() runs in, also one that timed out",
        )
