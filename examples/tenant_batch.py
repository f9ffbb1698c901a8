"""Add up meter readings, many at once, and close each tenant's day once.

A batch handler gets up to 500 readings of one tenant in a call, and writes one row an hour instead of one a
reading. Every night, on one replica, an event for each tenant asks for its report.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from pydantic import AwareDatetime, BaseModel

from reactor import Context, Event, JobContext, Reactor

SCHEMA = """
    create table public.readings (
        id uuid primary key default gen_random_uuid(),
        tenant_id uuid not null references public.tenants (id),
        taken_at timestamptz not null,
        kwh double precision not null
    );
    create table public.hours (
        tenant_id uuid not null, hour timestamptz not null, kwh double precision not null,
        primary key (tenant_id, hour));
    create table public.reports (
        tenant_id uuid not null, made_for date not null, kwh double precision not null,
        primary key (tenant_id, made_for));
    select reactor.protect('public.readings');
    select reactor.protect('public.hours');
    select reactor.protect('public.reports');
    select reactor.watch('public.readings', 'meter.read', payload_columns => '{taken_at,kwh}');
"""


class Reading(BaseModel):
    taken_at: AwareDatetime
    kwh: float


class Night(BaseModel):
    due_at: AwareDatetime


app = Reactor()


@app.on("meter.read", model=Reading, batch=500)
async def add_up(events: Sequence[Event[Reading]], ctx: Context) -> None:
    hours: dict[datetime, float] = defaultdict(float)
    for event in events:
        hours[event.payload.taken_at.replace(minute=0, second=0, microsecond=0)] += event.payload.kwh
    await ctx.db.executemany(
        "insert into hours as h (tenant_id, hour, kwh) values ($1, $2, $3) "
        "on conflict (tenant_id, hour) do update set kwh = h.kwh + excluded.kwh",
        [(ctx.tenant_id, hour, kwh) for hour, kwh in hours.items()],
    )


@app.every("24h", name="close the day")
async def close_the_day(ctx: JobContext) -> None:
    for row in await ctx.db.fetch("select id from public.tenants where is_active"):
        await ctx.emit(row["id"], "day.closed", Night(due_at=ctx.due_at), dedup_key=f"day {ctx.due_at:%F}")


@app.on("day.closed", model=Night)
async def report(event: Event[Night], ctx: Context) -> None:
    await ctx.db.execute(
        "insert into reports (tenant_id, made_for, kwh) "
        "select $1, ($2::timestamptz at time zone 'UTC')::date, coalesce(sum(kwh), 0) "
        "from hours where hour < $2 and hour >= $2 - interval '1 day'",
        ctx.tenant_id,
        event.payload.due_at,
    )
