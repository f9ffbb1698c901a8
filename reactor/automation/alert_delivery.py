"""alert.deliver: one alert to one channel, tried again with growing pauses.

A channel that does not work is said so by another alert, which takes every
channel but those that failed: there is no way back into the circle. Alert
emails may come twice when a replica dies while sending; an operator is better
served by two than by none.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, LiteralString, assert_never
from uuid import NAMESPACE_URL, uuid5

import orjson
from pydantic import BaseModel

from reactor.automation.alert_channels import RETRY_PAUSES, Alert, Channel, ChannelKind, find
from reactor.automation.alerts import load_alert, wait_for_channels
from reactor.automation.resources import BuiltinResources, resources_of
from reactor.automation.tenant import Tenant, load_tenant, raise_alert
from reactor.automation.tenant_settings import AlertSettings
from reactor.context import Context
from reactor.db.json_text import to_json
from reactor.errors import Discard, Retry
from reactor.events import Event
from reactor.outbound import intents
from reactor.outbound.email import BadAddress, Email, SendFailed, Verdict, one_line
from reactor.outbound.mailer import CircuitOpen
from reactor.outbound.webhook import Outcome
from reactor.telemetry import metrics

_LOAD: LiteralString = """
select d.status, d.tries, exists (
    select from reactor.alert_channels_off o where o.tenant_id = $1 and o.channel = $4) as is_off
from reactor.alert_deliveries d
where d.tenant_id = $1 and d.alert_id = $2 and d.step = $3 and d.channel = $4
"""
_TRIED: LiteralString = """
update reactor.alert_deliveries
set tries = tries + 1, status = $4, http_status = $5, error = $6,
    settled_at = case when $4 <> 'planned' then reactor.now() end
where alert_id = $1 and step = $2 and channel = $3
"""
_SWITCH_OFF: LiteralString = """
insert into reactor.alert_channels_off (tenant_id, channel, reason, created_at)
values ($1, $2, $3, reactor.now())
on conflict (tenant_id, channel) do nothing
"""


class DeliverPayload(BaseModel):
    """Payload of alert.deliver."""

    channel: str
    step: int


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one try. again: it may work later, at the earliest after this long (None: as usual)."""

    outcome: Outcome
    http_status: int | None = None
    detail: str = ""
    again: timedelta | None = None
    # Nothing was asked of the channel, so the try does not count.
    counts: bool = True


async def deliver_to_channel(event: Event[Any], ctx: Context) -> None:
    """Handles one alert.deliver; its subject is the alert."""
    plan = DeliverPayload.model_validate(event.payload)
    alert = await load_alert(ctx.db, ctx.tenant_id, event.subject_id)
    row = await ctx.db.fetchrow(_LOAD, ctx.tenant_id, alert.id, plan.step, plan.channel)
    if row is None:
        raise Discard("this delivery was never planned")
    if row["status"] != "planned":
        return
    tenant = await load_tenant(ctx)
    if not (alert.acknowledged or row["is_off"]):
        await wait_for_channels(ctx, tenant)
    channel = find(tenant.loaded.settings.alerts, plan.channel)
    if alert.acknowledged or channel is None or row["is_off"]:
        why = "acknowledged" if alert.acknowledged else "the tenant has this channel no more"
        await ctx.db.execute(_TRIED, alert.id, plan.step, plan.channel, "off", None, why)
        return
    await ctx.checkpoint()  # no transaction stays open while the world outside takes its time
    tried = await _try(ctx, tenant, alert, channel, plan.step)
    await _conclude(ctx, alert, plan, tried, tries=int(row["tries"]) + 1)


async def _try(ctx: Context, tenant: Tenant, alert: Alert, channel: Channel, step: int) -> Tried:
    resources = resources_of(ctx)
    match channel.kind:
        case ChannelKind.WEBHOOK:
            settings = tenant.loaded.settings.alerts
            body = webhook_body(ctx, tenant, alert, step)
            answer = await resources.webhooks.send(
                channel.target, _secrets(settings), f"alert_{alert.id}_{step}", body
            )
            return Tried(answer.outcome, answer.status, answer.detail, answer.retry_after)
        case ChannelKind.EMAIL:
            return await _try_email(ctx, resources, tenant, alert, channel, step)
        case _:
            assert_never(channel.kind)


def _secrets(settings: AlertSettings) -> list[str]:
    return [secret.get_secret_value() for secret in settings.webhook_secret]


def webhook_body(ctx: Context, tenant: Tenant, alert: Alert, step: int) -> bytes:
    """The same bytes at every try of a step, so that a receiver may compare them."""
    return orjson.dumps(
        {
            "type": "alert.created" if step == 0 else "alert.repeated",
            "timestamp": alert.created_at.isoformat(),
            "data": {
                "alert_id": str(alert.id),
                "tenant_id": str(ctx.tenant_id),
                "tenant_name": tenant.name,
                "alert_type": alert.alert_type,
                "severity": alert.severity,
                "message": alert.message,
                "metadata": dict(alert.metadata),
                "repetition": step,
            },
        },
        default=str,
    )


async def _try_email(
    ctx: Context, resources: BuiltinResources, tenant: Tenant, alert: Alert, channel: Channel, step: int
) -> Tried:
    mailer = resources.mailer
    again = f" (repeated, not acknowledged, {step})" if step else ""
    details = "\n".join(f"{key}: {_text(value)}" for key, value in alert.metadata.items() if key != "not_via")
    email = Email(
        key=str(uuid5(NAMESPACE_URL, f"alert:{alert.id}:{step}:{channel.target.lower()}")),
        sender=mailer.sender,
        sender_name=mailer.sender_name or "reactor",
        to=channel.target,
        to_name="",
        subject=one_line(f"[{alert.severity}] {tenant.name}: {alert.message}")[:180] + again,
        text=f"{alert.message}\n\ntenant: {tenant.name}\ntype: {alert.alert_type}\n"
        f"raised: {alert.created_at:%Y-%m-%d %H:%M} UTC\nalert: {alert.id}\n{details}\n",
    )
    try:
        mailer.check()
    except CircuitOpen as error:
        return Tried(Outcome.RETRY, detail=str(error), again=error.retry_after, counts=False)
    try:
        await mailer.send(email)
    except BadAddress as error:
        return Tried(Outcome.REFUSED, detail=str(error))
    except SendFailed as error:
        await intents.record_failure(ctx.db, ctx.tenant_id, error, mailer.provider.name)
        outcome = Outcome.REFUSED if error.verdict is Verdict.PERMANENT else Outcome.RETRY
        return Tried(outcome, detail=str(error), again=error.retry_after)
    return Tried(Outcome.DELIVERED)


def _text(value: object) -> str:
    """A value of the metadata as people read it; what no reader could hold is JSON text already."""
    return to_json(value) if isinstance(value, orjson.Fragment | dict | list) else str(value)


async def _conclude(ctx: Context, alert: Alert, plan: DeliverPayload, tried: Tried, *, tries: int) -> None:
    settle = (alert.id, plan.step, plan.channel)
    kind = plan.channel.partition(":")[0]
    match tried.outcome:
        case Outcome.DELIVERED:
            await ctx.db.execute(_TRIED, *settle, "delivered", tried.http_status, None)
            metrics.ALERTS_DELIVERED.labels(kind).inc()
        case Outcome.RETRY if not tried.counts:
            raise Retry(tried.again, tried.detail, counts=False)
        case Outcome.RETRY if tries <= len(RETRY_PAUSES):
            await ctx.db.execute(_TRIED, *settle, "planned", tried.http_status, tried.detail[:1000])
            await ctx.checkpoint()
            raise Retry(pause_after(tries, tried.again), tried.detail, counts=False)
        case Outcome.RETRY | Outcome.REFUSED:
            await ctx.db.execute(_TRIED, *settle, "failed", tried.http_status, tried.detail[:1000])
            await _say_failed(ctx, alert, plan.channel, "alert_channel_failed", tried.detail)
            metrics.ALERTS_FAILED.labels(kind).inc()
        case Outcome.GONE:
            await ctx.db.execute(_TRIED, *settle, "failed", tried.http_status, tried.detail[:1000])
            await ctx.db.execute(_SWITCH_OFF, ctx.tenant_id, plan.channel, tried.detail)
            await _say_failed(ctx, alert, plan.channel, "alert_channel_off", tried.detail)
            metrics.ALERTS_FAILED.labels(kind).inc()
        case _:
            assert_never(tried.outcome)


def pause_after(tries: int, asked: timedelta | None) -> timedelta:
    """How long to wait after so many tries: what the receiver asked for, or ours, with a fifth of jitter."""
    usual = RETRY_PAUSES[min(tries, len(RETRY_PAUSES)) - 1] * random.uniform(0.8, 1.2)
    return usual if asked is None else max(asked, timedelta(seconds=1))


async def _say_failed(ctx: Context, alert: Alert, channel: str, alert_type: str, why: str) -> None:
    # not_via grows from alert to alert, so that two failing channels cannot report each other for ever.
    await raise_alert(
        ctx,
        alert_type,
        "warning",
        f"Alerts do not reach {channel}: {why}"[:1000],
        {"channel": channel, "alert_id": str(alert.id), "not_via": [channel, *alert.not_via]},
        same={"channel": channel},
    )
