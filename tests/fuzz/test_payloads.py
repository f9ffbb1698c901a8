"""Payloads of any shape, by SQL and by a handler: each event is handled or dead with its reason, and those
beside it never notice."""

import json
from typing import Any

import asyncpg
from hypothesis import example, given
from hypothesis import strategies as st

from reactor import Context, Event, Reactor
from reactor.testing import drain
from tests.fuzz.conftest import Desk, examples
from tests.fuzz.strategies import any_text, deep, json_values, payloads

app = Reactor()
_wanted: list[Any] = []


@app.on("fuzz.read", max_attempts=1)
async def read(event: Event[Any], ctx: Context) -> None:
    payload = event.payload
    ctx.log.info("read", payload=payload)
    await ctx.emit("fuzz.seen", payload, subject_id=event.subject_id)


@app.on("fuzz.speak", max_attempts=1)
async def speak(event: Event[Any], ctx: Context) -> None:
    await ctx.emit("fuzz.seen", _wanted[0])


@app.on("fuzz.calm")
async def calm(event: Event[Any], ctx: Context) -> None:
    await ctx.db.execute("select 1")


@app.on("fuzz.seen")
async def seen(event: Event[Any], ctx: Context) -> None:
    pass


async def _round(desk: Desk, *types: str) -> None:
    """Events in hand are handled; the calm one beside them is in the history, and nothing is left."""
    calm_id = await desk.conn.fetchval("select reactor.emit($1, 'fuzz.calm')", desk.tenant)
    left = await drain(app, desk.url)
    assert (left.delayed, left.parked) == (0, 0)
    assert await desk.conn.fetchval("select outcome from reactor.history where id = $1", calm_id) == "handled"
    reasons = await desk.conn.fetch("select event_type, reason from reactor.dead_events")
    assert all(row["reason"] for row in reasons)
    await desk.conn.execute("truncate reactor.dead_events, reactor.history")


async def _offer(desk: Desk, text: str) -> bool:
    """Whether the server took it; if not, the writer was told: NUL, half a surrogate pair, NaN, too deep."""
    try:
        await desk.conn.execute("select reactor.emit($1, 'fuzz.read', $2::text::jsonb)", desk.tenant, text)
    except (asyncpg.DataError, asyncpg.StatementTooComplexError):
        return False
    return True


@examples(12)
@given(batch=st.lists(payloads, min_size=8, max_size=8))
def test_a_payload_that_the_server_takes_is_handled_or_dead_and_its_neighbours_are_handled(
    desk: Desk, batch: list[Any]
) -> None:
    async def run() -> None:
        for value in batch:
            await _offer(desk, json.dumps(value))
        await _round(desk)

    desk.do(run())


def test_payloads_at_the_limits_of_json_harm_nobody(desk: Desk) -> None:
    """Nested deeper than Python's parser goes, and numbers beyond every machine's: the server takes them."""
    nested = [f'{{"deep": {"[" * depth}1{"]" * depth}}}' for depth in (900, 1100, 3000)]
    numbers = [f'{{"n": {text}}}' for text in ("1" + "0" * 400, "1e400", "-1e-400", "0." + "1" * 2000, 2**64)]

    async def run() -> None:
        for text in (*nested, *numbers, "[" * 100_000, '"\\ud800"', '{"\\u0000": "\\u0000"}'):
            await _offer(desk, text)
        await _round(desk)

    desk.do(run())


@examples(12)
@given(value=payloads)
@example(value={"half": "\ud800"})
@example(value={"n": 10**400})
@example(value={1: 2, None: 3})
def test_a_handler_that_emits_something_impossible_fails_alone(desk: Desk, value: Any) -> None:
    _emit_from_a_handler(desk, value)


def test_a_handler_that_emits_something_endless_fails_alone(desk: Desk) -> None:
    ring: list[object] = []
    ring.append(ring)
    _emit_from_a_handler(desk, deep(3000))
    _emit_from_a_handler(desk, ring)


def _emit_from_a_handler(desk: Desk, value: Any) -> None:
    _wanted[:] = [value]

    async def run() -> None:
        await desk.conn.execute("select reactor.emit($1, 'fuzz.speak')", desk.tenant)
        await _round(desk)

    desk.do(run())


@examples(80)
@given(kind=any_text, key=any_text | st.none(), value=json_values)
def test_emit_takes_any_arguments_or_says_what_is_wrong(
    desk: Desk, kind: str, key: str | None, value: Any
) -> None:
    async def run() -> str | None:
        transaction = desk.conn.transaction()
        await transaction.start()
        try:
            id_ = await desk.conn.fetchval(
                "select reactor.emit($1, $2, $3::text::jsonb, dedup_key => $4)",
                desk.tenant,
                kind,
                json.dumps(value),
                key,
            )
            row = await desk.conn.fetchrow("select event_type from reactor.events where id = $1", id_)
            assert row is not None
            assert row["event_type"] == kind
        except asyncpg.PostgresError as error:
            return error.sqlstate
        except UnicodeEncodeError:
            return None  # half a surrogate pair never leaves the client
        finally:
            await transaction.rollback()
        return None

    state = desk.do(run())
    # Ours, or the class of data that does not fit its type.
    assert state is None or state == "RX003" or state.startswith("22")
