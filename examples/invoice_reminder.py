"""Remind of every invoice that is written, on a table of your own.

psql $DATABASE_URL -c "$(python -c 'import invoice_reminder; print(invoice_reminder.SCHEMA)')"
reactor run --app invoice_reminder:app
"""

from datetime import timedelta
from decimal import Decimal

from pydantic import BaseModel

from reactor import Context, Event, Reactor

SCHEMA = """
    create table public.invoices (
        id uuid primary key default gen_random_uuid(),
        tenant_id uuid not null references public.tenants (id),
        total numeric(12, 2) not null,
        paid_at timestamptz,
        reminders int not null default 0
    );
    select reactor.protect('public.invoices');
    select reactor.watch('public.invoices', 'invoice.created', payload_columns => '{total}');
"""


class Invoice(BaseModel):
    total: Decimal


app = Reactor()


@app.on("invoice.created", model=Invoice)
async def wait(event: Event[Invoice], ctx: Context) -> None:
    days = 14 if event.payload.total < 1000 else 7
    await ctx.emit("invoice.due", subject_id=event.subject_id, delay=timedelta(days=days))


@app.on("invoice.due")
async def remind(event: Event[object], ctx: Context) -> None:
    open_total = await ctx.db.fetchval(
        "update invoices set reminders = reminders + 1 where id = $1 and paid_at is null returning total",
        event.subject_id,
    )
    if open_total is not None:
        ctx.log.info("reminded", total=str(open_total))
