"""The app that the proof's replicas run, and the process around it: ``python -m tests.failure.app``.

Each event leaves exactly one effect. The kinds differ in what they do around it: sleep in the middle of the
transaction, fail at first, commit early, emit another event, call a webhook, send an email, reach for other
tenants, end the process.
"""

import asyncio
import atexit
import os
import random
import signal
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import anyio

from reactor import Context, Event, Reactor
from reactor.engine.listener import Listener
from reactor.errors import ReactorError, Retry
from tests.failure.sending import outside

app = Reactor(lifespan=outside)
_NAME = os.environ.get("REACTOR_REPLICA", "?")
#: How long a slow handler sleeps at most, in seconds.
_SLEEP = float(os.environ.get("PROOF_SLEEP", "0.25"))


async def _effect(event: Event[Any], ctx: Context, kind: str) -> None:
    made = await ctx.db.fetchval(
        "insert into public.proof_effects (subject, tenant_id, kind, event_id, run_id, replica, attempts, "
        "interruptions) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing returning 1",
        event.subject_id,
        ctx.tenant_id,
        kind,
        event.id,
        ctx.run_id,
        _NAME,
        event.attempts,
        event.interruptions,
    )
    if made is None:
        await _violation("doubled", event, ctx, f"a second {kind} of event {event.id}")


async def _intend(event: Event[Any], ctx: Context) -> None:
    """Committed before the effect, and without the acknowledgement."""
    await ctx.db.execute(
        "insert into public.proof_intents values ($1, $2, $3, $4)",
        event.subject_id,
        ctx.tenant_id,
        event.id,
        ctx.run_id,
    )
    await ctx.checkpoint()


async def _violation(kind: str, event: Event[Any], ctx: Context, detail: str) -> None:
    await ctx.db.execute(
        "insert into public.proof_violations (kind, tenant_id, subject, run_id, detail) "
        "values ($1, $2, $3, $4, $5)",
        kind,
        ctx.tenant_id,
        event.subject_id,
        ctx.run_id,
        detail,
    )


@app.on("proof.row")
async def row(event: Event[Any], ctx: Context) -> None:
    kind = event.payload["kind"]
    match kind:
        case "slow":
            await _effect(event, ctx, kind)
            await asyncio.sleep(random.uniform(0.02, _SLEEP))
        case "lazy":
            await asyncio.sleep(random.uniform(0.02, _SLEEP))
            await _effect(event, ctx, kind)
        case "flaky":
            await _effect(event, ctx, kind)
            if event.attempts == 0:
                raise RuntimeError("fails at first, after it wrote")
        case "later":
            age = await ctx.db.fetchval("select clock_timestamp() - $1::timestamptz", event.created_at)
            if age < timedelta(seconds=0.4):
                raise Retry(after=timedelta(seconds=0.3), reason="not yet")
            await _effect(event, ctx, kind)
        case "intent":
            await _intend(event, ctx)
            await asyncio.sleep(random.uniform(0, 0.1))
            await _effect(event, ctx, kind)
        case "call":
            await ctx.resources.call(event, ctx)
            await _effect(event, ctx, kind)
        case "mail":
            await _intend(event, ctx)
            await ctx.resources.mail(event, ctx)
            await _effect(event, ctx, kind)
        case "chain":
            await _effect(event, ctx, kind)
            await ctx.emit("proof.child", subject_id=event.subject_id)
        case "spy":
            await _spy(event, ctx)
            await _effect(event, ctx, kind)
        case "poison":
            await ctx.db.execute("select 1")
            os.kill(os.getpid(), signal.SIGKILL)
        case _:
            await _effect(event, ctx, kind)


@app.on("proof.batch", batch=50)
async def batch(events: Sequence[Event[Any]], ctx: Context) -> None:
    for event in events:
        await _effect(event, ctx, "batch")


@app.on("proof.child")
async def child(event: Event[Any], ctx: Context) -> None:
    await _effect(event, ctx, "child")


async def _spy(event: Event[Any], ctx: Context) -> None:
    """Reads and changes what it must not reach."""
    others = await ctx.db.fetchval(
        "select count(*) from public.proof_source where tenant_id <> $1", ctx.tenant_id
    )
    changed = await ctx.db.execute(
        "update public.proof_source set kind = 'stolen' where tenant_id <> $1", ctx.tenant_id
    )
    if others or changed != "UPDATE 0":
        await _violation("cross-tenant", event, ctx, f"saw {others} rows of others, {changed}")


def _jump_on_signal() -> None:
    """SIGUSR1 sets this process's wall clock an hour forward, SIGUSR2 an hour back, again and again."""
    real, shift = time.time, [0.0]

    def move(by: float) -> None:
        shift[0] += by

    time.time = lambda: real() + shift[0]
    signal.signal(signal.SIGUSR1, lambda *_: move(3600))
    signal.signal(signal.SIGUSR2, lambda *_: move(-3600))

    def ignore() -> None:
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)

    # While the interpreter ends a handler of ours is none any more, and the next jump would kill it.
    atexit.register(ignore)


def _forget_to_catch_up() -> None:
    """Break the listener on purpose: what happened while it was away is not looked at."""
    made = Listener.__init__

    def make(self: Listener, *arguments: Any, on_work: Any, on_gate: Any, **options: Any) -> None:
        made(self, *arguments, on_work=lambda: None, on_gate=lambda: None, **options)

        def heard(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            # What else is told, that a deadline came nearer say, is no look for work.
            if payload == "":
                on_work()

        self._heard = heard

    Listener.__init__ = make


def main() -> int:
    _jump_on_signal()
    if os.environ.get("PROOF_WITHOUT") == "catch-up":
        _forget_to_catch_up()
    try:
        anyio.run(app.run, backend_options={"use_uvloop": True})
    except ReactorError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    # The handlers are those of the module, not of a second copy called __main__.
    from tests.failure.app import main as run

    raise SystemExit(run())
