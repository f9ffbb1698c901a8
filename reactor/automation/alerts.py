"""alert.created: decide where an alert goes, and repeat critical ones until somebody acknowledges.

    alert.created ─▶ one alert.deliver for each channel (alert_delivery.py)
          └────────▶ alert.escalate, 15 minutes later, then hourly

Each channel has an event of its own, so that one that fails and is tried again
does not bother the others. None of these waits for the kill switch.
"""

from __future__ import annotations

from typing import Any, LiteralString
from uuid import UUID

from reactor.automation.alert_channels import FIRST_REPEAT, LATER_REPEATS, Alert, route
from reactor.automation.resources import resources_of
from reactor.automation.tenant import Tenant, load_tenant, say_broken
from reactor.automation.tenant_settings import Severity
from reactor.context import Context, TenantDb
from reactor.db.json_text import read_exactly
from reactor.errors import Discard, Retry
from reactor.events import Event
from reactor.telemetry import metrics

DELIVER_EVENT = "alert.deliver"
ESCALATE_EVENT = "alert.escalate"
# The payload of an alert.created that comes anew, because there was no channel when the alert was raised.
_AGAIN = {"again": True}

# Whoever inserts an alert may date it beyond Python's calendar; that must not keep it from being delivered.
_LOAD: LiteralString = """
select a.id, a.alert_type, a.severity, coalesce(a.message, '') as message, a.metadata::text, a.acknowledged,
    greatest(least(a.created_at, '9999-12-31 00:00Z'), '0001-01-02 00:00Z') as created_at
from public.agent_alerts a
where a.tenant_id = $1 and a.id = $2
"""
_LATELY: LiteralString = """
select exists (
    select from reactor.alert_deliveries d
    where d.tenant_id = $1 and d.alert_type = $2 and d.alert_id <> $3 and d.status in ('planned', 'delivered')
        and d.created_at > reactor.now() - $4::interval)
"""
_OFF: LiteralString = "select o.channel from reactor.alert_channels_off o where o.tenant_id = $1"
_NOTE: LiteralString = """
insert into reactor.alert_deliveries
    (tenant_id, alert_id, alert_type, step, channel, status, error, created_at, settled_at)
select $1, $2, $3, $4, c.channel, $6, $7, reactor.now(), case when $6 <> 'planned' then reactor.now() end
from unnest($5::text[]) as c (channel)
on conflict (alert_id, step, channel) do nothing
"""
_LAST_STEP: LiteralString = """
select d.step, d.status from reactor.alert_deliveries d where d.alert_id = $1 order by d.step desc limit 1
"""
# The oldest unacknowledged alert of a type that is repeated speaks for those that followed it.
_SPOKEN_FOR: LiteralString = "select reactor.alert_is_spoken_for($1)"


async def load_alert(db: TenantDb, tenant_id: UUID, alert_id: UUID | None) -> Alert:
    """The alert; Discard when it is gone."""
    row = None if alert_id is None else await db.fetchrow(_LOAD, tenant_id, alert_id)
    if row is None:
        raise Discard(f"alert {alert_id} is gone")
    metadata = read_exactly(row["metadata"] or "{}")  # it is written again, into the webhook
    return Alert(
        id=row["id"],
        alert_type=row["alert_type"],
        severity=Severity(row["severity"]),
        message=row["message"],
        metadata=metadata if isinstance(metadata, dict) else {},
        acknowledged=row["acknowledged"],
        created_at=row["created_at"],
    )


async def deliver_alert(event: Event[Any], ctx: Context) -> None:
    """Handles one alert.created; its subject is the row of agent_alerts."""
    alert = await load_alert(ctx.db, ctx.tenant_id, event.subject_id)
    if event.payload != _AGAIN:
        metrics.ALERTS_CREATED.labels(alert.severity.value).inc()
    if alert.acknowledged:
        return
    tenant = await load_tenant(ctx)
    dedup = tenant.loaded.settings.alerts.dedup(resources_of(ctx).alert_dedup)
    lately = bool(await ctx.db.fetchval(_LATELY, ctx.tenant_id, alert.alert_type, alert.id, dedup))
    await _bring(ctx, tenant, alert, step=0, delivered_lately=lately)
    # Who is to hear of it again is known when the settings are mended.
    is_open = not tenant.loaded.channels_known and alert.alert_type != "settings_invalid"
    if alert.severity is Severity.CRITICAL and (is_open or tenant.loaded.settings.alerts.may_escalate):
        await ctx.emit(
            ESCALATE_EVENT, subject_id=alert.id, delay=FIRST_REPEAT, dedup_key=f"{ESCALATE_EVENT}:{alert.id}"
        )


async def escalate_alert(event: Event[Any], ctx: Context) -> None:
    """Handles one alert.escalate: the same event comes back every hour until the alert is acknowledged."""
    alert = await load_alert(ctx.db, ctx.tenant_id, event.subject_id)
    if alert.acknowledged:
        return
    if not await ctx.db.fetchval(_SPOKEN_FOR, alert.id):
        tenant = await load_tenant(ctx)
        await wait_for_channels(ctx, tenant)
        if tenant.loaded.settings.alerts.may_escalate:
            last = await ctx.db.fetchrow(_LAST_STEP, alert.id)
            step = 1 if last is None else int(last["step"]) + 1
            silent = last is not None and last["status"] == "no_channel"
            await _bring(ctx, tenant, alert, step=step, delivered_lately=False, silent=silent)
            await ctx.checkpoint()
            metrics.ALERTS_ESCALATED.inc()
    # Also without channels: there may be some again in an hour.
    raise Retry(LATER_REPEATS, "not acknowledged", counts=False)


async def wait_for_channels(ctx: Context, tenant: Tenant) -> None:
    """Raises Retry while agent_settings.alerts cannot be used: nobody knows that a channel is gone."""
    if not tenant.loaded.channels_known:
        wait = await say_broken(ctx, tenant.loaded.problems)
        await ctx.checkpoint()
        raise wait


async def _bring(
    ctx: Context, tenant: Tenant, alert: Alert, *, step: int, delivered_lately: bool, silent: bool = False
) -> None:
    """Plan the deliveries of one step, or note why there are none. silent: there was no channel before."""
    if not tenant.loaded.channels_known:
        if alert.alert_type != "settings_invalid":
            await say_broken(ctx, tenant.loaded.problems)
        await _note(ctx, alert, step, [""], "no_channel", "agent_settings.alerts cannot be used")
        return
    off = {row[0] for row in await ctx.db.fetch(_OFF, ctx.tenant_id)}
    way = route(alert, tenant.loaded.settings.alerts, off=off, delivered_lately=delivered_lately)
    if way == "no_channel" and silent:
        return  # one note says so, not one an hour
    if isinstance(way, str):
        await _note(ctx, alert, step, [""], way, None)
        return
    await _note(ctx, alert, step, [channel.name for channel in way], "planned", None)
    for channel in way:
        await ctx.emit(
            DELIVER_EVENT,
            {"channel": channel.name, "step": step},
            subject_id=alert.id,
            dedup_key=f"{DELIVER_EVENT}:{alert.id}:{step}:{channel.name}",
        )


async def _note(
    ctx: Context, alert: Alert, step: int, channels: list[str], status: str, error: str | None
) -> None:
    await ctx.db.execute(_NOTE, ctx.tenant_id, alert.id, alert.alert_type, step, channels, status, error)
