"""Validates queued orders: what `order.queued` does. The decisions are in `orders`, the SQL in `order_sql`.

What an event means is read from its queue row at the time it is handled, never from the event:

- The row is pending: judge the order, and write everything back.
- The row is something else: there is nothing to do. The event came twice, or the order was queued twice
  before we came to it and the first of the two events did the work. ('processing' is never written by us:
  a batch is one transaction, nobody could see it. An application that writes it has the row in hand itself.)
- There is no row: deleting an order deletes its queue row, so nobody wants this order any more. The event is
  discarded, with this reason in the history.
- The row's order is gone, or is another tenant's: the row becomes 'skipped'.
- Another transaction holds the row or its order: the event comes again shortly. The other transaction may be
  about to change what we would judge, and waiting for it would keep the tenant's other orders waiting too.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Final, assert_never
from uuid import UUID

from reactor.automation.order_store import Busy, Judged, NotPending, OrderGone, Ready, load, write
from reactor.automation.orders import exact, judge
from reactor.context import Context
from reactor.errors import BadArgument, Discard, Retry
from reactor.events import Event

COME_AGAIN: Final = timedelta(milliseconds=500)


async def process_orders(events: Sequence[Event[object]], ctx: Context) -> None:
    """Judge the orders of one tenant's batch, one after the other in the order of their events."""
    by_queue_id: dict[UUID, Event[object]] = {}
    for event in events:
        if event.subject_id is None:
            ctx.fail(
                event, BadArgument("the event names no row of order_processing_queue: subject_id is null")
            )
        else:
            by_queue_id.setdefault(event.subject_id, event)
    if not by_queue_id:
        return

    subjects = await load(ctx.db, list(by_queue_id))
    ready: list[Ready] = []
    gone: list[OrderGone] = []
    for queue_id, event in by_queue_id.items():
        match subjects.get(queue_id):
            case Ready() as found:
                ready.append(found)
            case OrderGone() as found:
                gone.append(found)
            case NotPending(status):
                ctx.log.debug("order.already_processed", queue_id=str(queue_id), status=status)
            case Busy():
                ctx.fail(event, Retry(COME_AGAIN, "the order is held by another transaction", counts=False))
            case None:
                ctx.fail(event, Discard(f"row {queue_id} of order_processing_queue is gone"))
            case unknown:
                assert_never(unknown)

    ctx.run.planned += len(ready) + len(gone)
    judged = judge_in_turn(ready)
    if judged or gone:
        ctx.run.cards_created += await write(ctx.db, ctx.tenant_id, judged, gone)
    ctx.run.executed += len(judged)


def judge_in_turn(ready: Sequence[Ready]) -> list[Judged]:
    """Judge orders one after the other: what one takes of its client's credit, the next cannot have."""
    judged: list[Judged] = []
    taken: dict[UUID, Decimal] = {}
    for item in ready:
        client = item.client
        before = item.taken if client is None else taken.get(client.id, item.taken)
        judgement = judge(item.order, item.product, client, before)
        if client is not None:
            with exact():
                taken[client.id] = before + judgement.takes_credit
        judged.append(Judged(item, judgement))
    return judged
