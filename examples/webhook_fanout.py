"""Tell every subscriber of a tenant what happened: one event becomes one delivery for each.

Each delivery is an event of its own, so a subscriber that is down holds up no other, and is tried again with
backoff. The receiver sees the same Idempotency-Key at every try.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx2
from pydantic import BaseModel

from reactor import Context, Discard, Event, Reactor, Retry, Settings

SCHEMA = """
    create table public.subscribers (
        id uuid primary key default gen_random_uuid(),
        tenant_id uuid not null references public.tenants (id),
        url text not null
    );
    create table public.shipments (
        id uuid primary key default gen_random_uuid(),
        tenant_id uuid not null references public.tenants (id),
        status text not null default 'packed'
    );
    select reactor.protect('public.subscribers'), reactor.protect('public.shipments');
    select reactor.watch('public.shipments', 'shipment.left', '{insert,update}',
        payload_columns => '{status}',
        condition => $$new.status = 'left' and old.status is distinct from 'left'$$);
"""


class Delivery(BaseModel):
    url: str
    body: dict[str, str]


@asynccontextmanager
async def web(_settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=10) as client:
        yield client


app = Reactor(lifespan=web)


@app.on("shipment.left")
async def fan_out(event: Event[dict[str, str]], ctx: Context) -> None:
    body = {"shipment": str(event.subject_id), "status": event.payload["status"]}
    for row in await ctx.db.fetch("select url from subscribers order by id"):
        await ctx.emit("webhook.deliver", Delivery(url=row["url"], body=body))


@app.on("webhook.deliver", model=Delivery, max_attempts=15, timeout="20s", concurrency=4)
async def deliver(event: Event[Delivery], ctx: Context) -> None:
    client: httpx2.AsyncClient = ctx.resources
    answer = await client.post(
        event.payload.url,
        json=event.payload.body,
        headers={"Idempotency-Key": ctx.idempotency_key},
    )
    if answer.status_code == 410:
        raise Discard("the subscriber is gone")
    if answer.status_code == 429:
        raise Retry(
            timedelta(seconds=float(answer.headers.get("Retry-After", 30))), "asked to wait", counts=False
        )
    answer.raise_for_status()
