"""What a handler's failure means: for its event, and for nobody else's."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from reactor import Context, Discard, Event, Reactor, Retry
from reactor.engine import watchdog
from reactor.errors import ScopeBroken
from reactor.telemetry import names
from tests.engine.conftest import World, enter, enter_all

SOON = timedelta(milliseconds=20)


class Numbered(BaseModel):
    n: int


async def test_a_failing_event_is_tried_again_later_and_keeps_its_errors(world: World) -> None:
    app = Reactor()
    tries: list[int] = []

    @app.on("flaky")
    async def flaky(event: Event[Any], ctx: Context) -> None:
        tries.append(event.attempts)
        await enter(event, ctx, f"try {event.attempts}")
        if event.attempts < 2:
            raise RuntimeError(f"try {event.attempts} fails")

    event_id = await world.emit(await world.tenant(), "flaky")
    async with world.running(app):
        await world.until("select true from reactor.history where id = $1", event_id)
    past = await world.history(event_id)
    assert past is not None
    assert tries == [0, 1, 2]
    assert past["attempts"] == 2
    assert [error["error"] for error in past["errors"]] == ["try 0 fails", "try 1 fails"]
    assert await world.notes() == ["try 2"]


async def test_the_backoff_grows_and_is_bounded_by_the_servers_clock(world: World) -> None:
    app = Reactor()

    @app.on("flaky", max_attempts=50)
    async def flaky(event: Event[Any], ctx: Context) -> None:
        raise RuntimeError("no")

    tenant = await world.tenant()
    ids = [await world.emit(tenant, "flaky") for _ in range(40)]
    await world.conn.execute("update reactor.events set attempts = 8")
    before = await world.conn.fetchval("select reactor.now()")
    await world.drain(app)
    rows = await world.conn.fetch("select available_at - $1 as wait, attempts from reactor.events", before)
    # All but those that had to wait so shortly that they were tried once more.
    waits = [row["wait"].total_seconds() for row in rows if row["attempts"] == 9]
    assert len(rows) == len(ids)
    assert len(waits) >= 35
    # full jitter: uniform up to 2^9 s, so 40 of them lie apart and below the cap
    assert max(waits) > 60
    assert all(0 < wait < 512 + 30 for wait in waits)
    assert min(waits) < 256


async def test_an_event_that_waits_for_a_retry_does_not_hold_up_the_others(world: World) -> None:
    app = Reactor()

    @app.on("work")
    async def work(event: Event[Any], ctx: Context) -> None:
        if event.payload["n"] == 2:
            raise Retry(timedelta(hours=1), "not yet")
        await enter(event, ctx, str(event.payload["n"]))

    tenant = await world.tenant()
    await world.flood(tenant, "work", 4)
    left = await world.drain(app)
    assert left.delayed == 1
    assert await world.notes() == ["1", "3", "4"]


async def test_retry_after_waits_as_long_as_it_says_and_may_leave_the_attempts(world: World) -> None:
    app = Reactor()

    @app.on("counted")
    async def counted(event: Event[Any], ctx: Context) -> None:
        raise Retry(timedelta(minutes=5), "busy")

    @app.on("uncounted")
    async def uncounted(event: Event[Any], ctx: Context) -> None:
        raise Retry(timedelta(minutes=5), "closed", counts=False)

    @app.on("unsaid")
    async def unsaid(event: Event[Any], ctx: Context) -> None:
        raise Retry(reason="whenever", counts=False)

    @app.on("never")
    async def never(event: Event[Any], ctx: Context) -> None:
        raise Retry(timedelta.max, "a date has an end")

    tenant = await world.tenant()
    ids = {kind: await world.emit(tenant, kind) for kind in ("counted", "uncounted", "unsaid", "never")}
    async with world.running(app):
        for event_id in ids.values():
            await world.until("select errors <> '[]' from reactor.events where id = $1", event_id)
        wait = "select available_at - reactor.now() from reactor.events where id = $1"
        for kind in ("counted", "uncounted"):
            remaining = await world.conn.fetchval(wait, ids[kind])
            assert timedelta(minutes=4) < remaining <= timedelta(minutes=5)
        assert await world.conn.fetchval(wait, ids["never"]) > timedelta(days=3000)
        attempts = {
            kind: await world.conn.fetchval("select attempts from reactor.events where id = $1", event_id)
            for kind, event_id in ids.items()
        }
    assert attempts["counted"] == 1
    assert attempts["uncounted"] == 0
    assert attempts["unsaid"] == 0


async def test_discard_finishes_the_event_without_effect_and_says_why(world: World) -> None:
    app = Reactor()

    @app.on("old")
    async def old(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        raise Discard("nobody wants it any more")

    event_id = await world.emit(await world.tenant(), "old")
    left = await world.drain(app)
    past = await world.history(event_id)
    assert past is not None
    assert (past["outcome"], past["reason"]) == ("discarded", "nobody wants it any more")
    assert left.dead == 0
    assert await world.notes() == []


async def test_an_event_is_dead_after_its_attempts_with_every_error_and_an_alert(world: World) -> None:
    app = Reactor()

    @app.on("doomed", max_attempts=3)
    async def doomed(event: Event[Any], ctx: Context) -> None:
        raise Retry(SOON, f"no {event.attempts}")

    tenant = await world.tenant()
    event_id = await world.emit(tenant, "doomed", {"keep": "me"})
    async with world.running(app):
        await world.until("select count(*) = 1 from reactor.dead_events")
    (dead,) = await world.dead()
    assert (dead["id"], dead["attempts"], dead["payload"]) == (event_id, 3, {"keep": "me"})
    assert [error["error"] for error in dead["errors"]] == ["no 0", "no 1", "no 2"]
    assert "failed 3 times" in dead["reason"]
    alert = await world.conn.fetchrow("select * from public.agent_alerts where tenant_id = $1", tenant)
    assert (alert["alert_type"], alert["severity"]) == ("dead_event", "critical")
    assert "doomed" in alert["message"]
    assert alert["metadata"]["event_ids"] == [event_id]
    run = await world.conn.fetchrow(
        "select * from public.agent_autonomous_runs where id = $1", dead["run_id"]
    )
    assert run["status"] == "failed"


async def test_an_unknown_type_is_dead_at_once_and_holds_up_nothing(world: World) -> None:
    app = Reactor()

    @app.on("known")
    async def known(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    tenant = await world.tenant()
    await world.emit(tenant, "unheard.of")
    await world.emit(tenant, "known")
    await world.drain(app)
    (dead,) = await world.dead()
    assert dead["reason"] == "no handler is registered for event type unheard.of"
    assert dead["attempts"] == 0
    assert await world.notes() == ["known"]


async def test_payloads_that_do_not_fit_are_dead_at_once_with_the_reason_and_the_rest_of_the_batch_goes_on(
    world: World,
) -> None:
    app = Reactor()

    @app.on("numbered", model=Numbered, batch=50)
    async def numbered(events: Sequence[Event[Numbered]], ctx: Context) -> None:
        await enter(events[0], ctx, " ".join(str(event.payload.n) for event in events))

    tenant = await world.tenant()
    for payload in ({"n": 1}, {"n": "many"}, {"n": 2}, {}, [1], {"n": 3}):
        await world.emit(tenant, "numbered", payload)
    await world.drain(app)
    assert await world.notes() == ["1 2 3"]
    reasons = [dead["reason"] for dead in await world.dead()]
    assert len(reasons) == 2 + 1
    assert "n: Input should be a valid integer" in reasons[0]
    assert "n: Field required" in reasons[1]
    errors = (await world.dead())[0]["errors"]
    assert errors[-1]["kind"] == "ValidationError"


async def test_members_of_a_batch_that_the_handler_fails_are_retried_and_the_rest_commits(
    world: World,
) -> None:
    app = Reactor()

    @app.on("item", batch=10, max_attempts=1)
    async def items(events: Sequence[Event[Any]], ctx: Context) -> None:
        for event in events:
            match event.payload["n"]:
                case 2:
                    ctx.fail(event, ValueError("two is wrong"))
                case 3:
                    ctx.fail(event, Retry(timedelta(hours=1), counts=False))
                case 4:
                    ctx.fail(event, Discard("four is enough"))
                case n:
                    await enter(event, ctx, str(n))

    await world.flood(await world.tenant(), "item", 6)
    left = await world.drain(app)
    assert await world.notes() == ["1", "5", "6"]
    assert (left.delayed, left.dead) == (1, 1)
    assert (await world.dead())[0]["reason"].endswith("two is wrong")
    assert await world.count("reactor.history where reason = 'four is enough'") == 1


async def test_what_another_handler_wrote_for_a_failed_member_does_not_stay(world: World) -> None:
    app = Reactor()

    @app.on("item", batch=10, priority=1)
    async def writes(events: Sequence[Event[Any]], ctx: Context) -> None:
        await enter_all(events, ctx)

    @app.on("item", batch=10, priority=2, max_attempts=1)
    async def judges(events: Sequence[Event[Any]], ctx: Context) -> None:
        for event in events:
            if event.payload["n"] == 2:
                ctx.fail(event, ValueError("two is wrong"))

    await world.flood(await world.tenant(), "item", 3)
    await world.drain(app)
    assert await world.notes() == ["1", "3"]
    assert (await world.dead())[0]["reason"].endswith("two is wrong")


async def test_when_a_batch_raises_its_members_are_tried_alone_and_one_is_to_blame(world: World) -> None:
    app = Reactor()
    sizes: list[int] = []

    @app.on("item", batch=10, max_attempts=1)
    async def items(events: Sequence[Event[Any]], ctx: Context) -> None:
        sizes.append(len(events))
        await enter_all(events, ctx)
        if any(event.payload["n"] == 4 for event in events):
            raise RuntimeError("four is wrong")

    await world.flood(await world.tenant(), "item", 7)
    await world.drain(app)
    assert sizes == [7] + [1] * 7
    assert await world.notes() == ["1", "2", "3", "5", "6", "7"]
    assert (await world.dead())[0]["payload"] == {"n": 4}


@pytest.mark.parametrize("batch", [None, 10])
async def test_a_constraint_that_fails_at_commit_isolates_its_event(world: World, batch: int | None) -> None:
    await world.conn.execute(
        "create table public.parents (id int primary key, tenant_id uuid not null); "
        "create table public.children (tenant_id uuid not null, parent int references public.parents "
        "deferrable initially deferred); "
        "select reactor.protect('public.parents'), reactor.protect('public.children')"
    )
    app = Reactor()

    async def adopt(given: Any, ctx: Context) -> None:
        for event in given if isinstance(given, Sequence) else [given]:
            await enter(event, ctx, str(event.payload["n"]))
            parent = 99 if event.payload["n"] == 3 else None
            await ctx.db.execute("insert into public.children values ($1, $2)", ctx.tenant_id, parent)

    app.on("adopt", batch=batch, max_attempts=1)(adopt)
    await world.flood(await world.tenant(), "adopt", 5)
    await world.drain(app)
    assert sorted(await world.notes()) == ["1", "2", "4", "5"]
    (dead,) = await world.dead()
    assert dead["payload"] == {"n": 3}
    assert "children_parent_fkey" in dead["reason"]


async def test_a_swallowed_database_error_isolates_its_event_and_is_named(world: World) -> None:
    app = Reactor()

    @app.on("work", max_attempts=1)
    async def sloppy(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, str(event.payload["n"]))
        if event.payload["n"] == 2:
            with contextlib.suppress(Exception):
                await ctx.db.execute("select 1/0")

    await world.flood(await world.tenant(), "work", 4)
    await world.drain(app)
    assert await world.notes() == ["1", "3", "4"]
    (dead,) = await world.dead()
    assert "swallowed a database error" in dead["reason"]


async def test_a_database_error_in_a_savepoint_can_be_handled(world: World) -> None:
    app = Reactor()

    @app.on("work")
    async def careful(event: Event[Any], ctx: Context) -> None:
        with contextlib.suppress(Exception):
            async with ctx.db.transaction():
                await enter(event, ctx, "undone")
                await ctx.db.execute("select 1/0")
        await enter(event, ctx, "kept")

    await world.emit(await world.tenant(), "work")
    await world.drain(app)
    assert await world.notes() == ["kept"]


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "rollback",
        "/* well */ commit",
        "-- well\ncommit",
        "select 1; commit",
        "insert into public.ledger (tenant_id) values ('{t}'); end; select 'x'",
        "SET ROLE none",
        "set session authorization default",
        "reset role",
        "RESET ALL",
        "discard all",
        "prepare transaction 'x'",
    ],
)
async def test_ending_the_transaction_or_leaving_the_role_is_refused_by_name(
    world: World, statement: str
) -> None:
    app = Reactor()

    @app.on("evil", max_attempts=1)
    async def evil(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        await ctx.db.execute(statement.format(t=ctx.tenant_id))

    @app.on("good")
    async def good(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    tenant = await world.tenant()
    await world.emit(tenant, "evil")
    await world.emit(tenant, "good")
    await world.drain(app)
    assert await world.notes() == ["good"]
    (dead,) = await world.dead()
    assert dead["errors"][0]["kind"] == "ScopeBroken"
    assert "evil" in dead["reason"]


async def test_words_that_only_look_like_a_commit_are_let_through(world: World) -> None:
    app = Reactor()
    texts = [
        "select 'a; commit'",
        "select $$; rollback$$",
        "do $x$ begin perform 1; end $x$",
        'select 1 as "end"',
    ]

    @app.on("work", max_attempts=1)
    async def work(event: Event[Any], ctx: Context) -> None:
        for text in texts:
            await ctx.db.execute(text)
        await ctx.db.execute("savepoint mine")
        await ctx.db.execute("rollback to savepoint mine")
        await enter(event, ctx)

    await world.emit(await world.tenant(), "work")
    await world.drain(app)
    assert await world.notes() == ["work"]


async def test_a_transaction_that_a_handler_leaves_open_is_named(world: World) -> None:
    app = Reactor()

    @app.on("leaky", max_attempts=1)
    async def leaky(event: Event[Any], ctx: Context) -> None:
        await ctx.db.transaction().__aenter__()
        await enter(event, ctx)

    await world.emit(await world.tenant(), "leaky")
    await world.drain(app)
    assert await world.notes() == []
    assert "transaction() open" in (await world.dead())[0]["reason"]


async def test_a_task_that_outlives_its_handler_can_write_nothing(world: World) -> None:
    app = Reactor()
    go, told = asyncio.Event(), asyncio.Event()
    refused: list[BaseException] = []
    tasks: set[asyncio.Task[None]] = set()

    @app.on("first")
    async def first(event: Event[Any], ctx: Context) -> None:
        async def later() -> None:
            await go.wait()
            try:
                await enter(event, ctx, "too late")
            except ScopeBroken as error:
                refused.append(error)
            told.set()

        tasks.add(asyncio.create_task(later()))
        await enter(event, ctx)

    @app.on("second")
    async def second(event: Event[Any], ctx: Context) -> None:
        go.set()
        await told.wait()
        await enter(event, ctx)

    tenant = await world.tenant()
    await world.emit(tenant, "first")
    await world.emit(tenant, "second")
    await world.drain(app)
    assert await world.notes() == ["first", "second"]
    assert "after it returned" in str(refused[0])


async def test_a_query_left_running_by_a_handler_fails_its_event_only(world: World) -> None:
    app = Reactor()
    tasks: set[asyncio.Task[Any]] = set()

    @app.on("work", max_attempts=1)
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, str(event.payload["n"]))
        if event.payload["n"] == 2:
            tasks.add(asyncio.create_task(ctx.db.fetchval("select pg_sleep(1)")))
            await asyncio.sleep(0)

    await world.flood(await world.tenant(), "work", 3)
    await world.drain(app)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await world.notes() == ["1", "3"]
    (dead,) = await world.dead()
    assert dead["payload"] == {"n": 2}
    assert dead["interruptions"] == 0


async def test_a_handler_that_takes_too_long_is_cancelled_and_fails(world: World) -> None:
    app = Reactor()

    @app.on("slow", max_attempts=1, timeout="300ms")
    async def slow(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        await asyncio.sleep(60)

    @app.on("stuck.in.sql", max_attempts=1, timeout="300ms")
    async def in_sql(event: Event[Any], ctx: Context) -> None:
        await ctx.db.execute("select pg_sleep(60)")

    @app.on("fine")
    async def fine(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    tenant = await world.tenant()
    for kind in ("slow", "stuck.in.sql", "fine"):
        await world.emit(tenant, kind)
    await world.drain(app)
    assert await world.notes() == ["fine"]
    assert all("took longer than 0.3 s" in dead["reason"] for dead in await world.dead())
    assert await world.count("reactor.dead_events") == 2


async def test_a_swallowed_timeout_is_a_failure_and_harms_no_later_event(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "_GRACE", 0.5)
    app = Reactor()

    @app.on("stubborn", max_attempts=1, timeout="300ms")
    async def stubborn(event: Event[Any], ctx: Context) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await enter(event, ctx)

    @app.on("long", timeout="30s")
    async def long(event: Event[Any], ctx: Context) -> None:
        """Longer than the watchdog's patience with a handler that swallows its cancellation."""
        await asyncio.sleep(1.0)
        await enter(event, ctx)

    tenant = await world.tenant()
    await world.emit(tenant, "stubborn")
    await world.emit(tenant, "long")
    await world.drain(app)
    assert await world.notes() == ["long"]
    (dead,) = await world.dead()
    assert dead["event_type"] == "stubborn"


@pytest.mark.parametrize("how", ["cancelled task", "exit", "cancelled error"])
async def test_strange_exceptions_fail_their_event_and_no_worker_dies(world: World, how: str) -> None:
    app = Reactor()

    @app.on("strange", max_attempts=1)
    async def strange(event: Event[Any], ctx: Context) -> None:
        if how == "exit":
            raise SystemExit(3)
        if how == "cancelled error":
            raise asyncio.CancelledError
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    @app.on("good")
    async def good(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)

    tenant = await world.tenant()
    for _ in range(3):
        await world.emit(tenant, "strange")
    await world.emit(tenant, "good")
    await world.drain(app, concurrency=1)
    assert await world.notes() == ["good"]
    assert await world.count("reactor.dead_events") == 3


async def test_an_error_of_any_text_is_kept(world: World) -> None:
    app = Reactor()

    @app.on("hostile", max_attempts=1)
    async def hostile(event: Event[Any], ctx: Context) -> None:
        raise RuntimeError("a\x00b \ud800 " + "long " * 10_000)

    @app.on("discarded")
    async def discarded(event: Event[Any], ctx: Context) -> None:
        raise Discard("\x00 \udfff")

    tenant = await world.tenant()
    await world.emit(tenant, "hostile")
    await world.emit(tenant, "discarded")
    await world.drain(app)
    (dead,) = await world.dead()
    assert dead["errors"][0]["error"].startswith("a\N{REPLACEMENT CHARACTER}b")
    assert len(dead["errors"][0]["error"]) == 2000
    assert dead["interruptions"] == 0
    assert await world.count("reactor.history where outcome = 'discarded'") >= 1


async def test_a_checkpoint_keeps_what_was_written_and_acknowledges_what_came_before(world: World) -> None:
    app = Reactor()

    @app.on("work", max_attempts=2)
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, f"{event.payload['n']} intent")
        if event.payload["n"] == 2:
            await ctx.checkpoint()
            await enter(event, ctx, "2 effect")
            raise Retry(SOON, "after the checkpoint")

    tenant = await world.tenant()
    await world.flood(tenant, "work", 3)
    async with world.running(app):
        await world.until("select count(*) = 1 from reactor.dead_events")
    assert sorted(await world.notes()) == ["1 intent", "2 intent", "2 intent", "3 intent"]
    assert await world.count("reactor.history where outcome = 'handled'") == 2


async def test_a_failed_commit_after_a_checkpoint_does_nothing_twice(world: World) -> None:
    await world.conn.execute(
        "create table public.once (tenant_id uuid not null, n int references public.once (n2) deferrable "
        "initially deferred, n2 int unique); select reactor.protect('public.once')"
    )
    app = Reactor()

    @app.on("work", max_attempts=1)
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, str(event.payload["n"]))
        if event.payload["n"] == 3:
            await ctx.checkpoint()
        if event.payload["n"] == 4:
            await ctx.db.execute("insert into public.once (tenant_id, n) values ($1, 99)", ctx.tenant_id)

    await world.flood(await world.tenant(), "work", 5)
    await world.drain(app)
    notes = await world.notes()
    # the third one's checkpoint committed, and a failure after it did not undo that: it may come twice
    assert [note for note in notes if note != "3"] == ["1", "2", "5"]
    assert [dead["payload"]["n"] for dead in await world.dead()] == [4]
    assert await world.count("public.agent_autonomous_runs where status = 'timeout'") == 0


async def test_a_checkpoint_inside_a_transaction_block_is_refused(world: World) -> None:
    app = Reactor()

    @app.on("work", max_attempts=1)
    async def work(event: Event[Any], ctx: Context) -> None:
        async with ctx.db.transaction():
            await enter(event, ctx)
            await ctx.checkpoint()

    await world.emit(await world.tenant(), "work")
    await world.drain(app)
    assert "inside ctx.db.transaction()" in (await world.dead())[0]["reason"]
    assert await world.notes() == []


async def test_a_blocked_loop_and_a_handler_that_ignores_its_cancellation_are_named(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "_GRACE", 0.5)
    named = threading.Event()
    log = watchdog.log

    class Heard:
        """The watchdog's log; its thread says when the loop stands still."""

        warning = staticmethod(log.warning)

        @staticmethod
        def error(event: str, **fields: Any) -> None:
            log.error(event, **fields)
            if event == names.HANDLER_BLOCKS_LOOP:
                named.set()

    monkeypatch.setattr(watchdog, "log", Heard)
    app = Reactor()
    leave = asyncio.Event()

    @app.on("blocks")
    async def blocks(event: Event[Any], ctx: Context) -> None:
        until = time.monotonic() + 20
        while not named.is_set() and time.monotonic() < until:
            time.sleep(0.05)

    @app.on("ignores", max_attempts=1, timeout="200ms")
    async def ignores(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx)
        while not leave.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait_for(leave.wait(), 60)

    tenant, other = await world.tenant(), await world.tenant()
    await world.emit(other, "blocks")
    async with world.running(app):
        await world.until("select count(*) = 1 from reactor.history")
        event_id = await world.emit(tenant, "ignores")
        await world.until("select true from reactor.dead_events where id = $1", event_id, within=20)
        leave.set()
    told = capsys.readouterr().out
    assert "handler_blocks_loop" in told
    assert "handler_ignores_cancellation" in told
    assert "ignored its cancellation" in (await world.dead())[0]["reason"]
    assert await world.notes() == []


async def test_a_handler_that_swallows_a_failed_checkpoint_loses_no_earlier_effect(world: World) -> None:
    await world.conn.execute(
        "create table public.late (parent int primary key); "
        "create table public.strict (tenant_id uuid not null, parent int references public.late "
        "deferrable initially deferred); select reactor.protect('public.strict')"
    )
    app = Reactor()

    @app.on("work", max_attempts=1)
    async def work(event: Event[Any], ctx: Context) -> None:
        await enter(event, ctx, str(event.payload["n"]))
        if event.payload["n"] == 3:
            await ctx.db.execute("insert into public.strict values ($1, 99)", ctx.tenant_id)
            with contextlib.suppress(Exception):
                await ctx.checkpoint()

    await world.flood(await world.tenant(), "work", 4)
    await world.drain(app)
    assert await world.notes() == ["1", "2", "4"]
    assert [dead["payload"]["n"] for dead in await world.dead()] == [3]
