"""A tenant's name and settings, as a handler loads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import LiteralString

from reactor.automation.tenant_settings import LoadedSettings, parse_settings
from reactor.context import Context
from reactor.errors import Retry

# Nothing that a tenant's broken settings hold up is lost; it looks again so often.
BROKEN_SETTINGS_PAUSE = timedelta(minutes=15)

_LOAD: LiteralString = "select t.name, t.agent_settings from public.tenants t where t.id = $1"
_RAISE: LiteralString = "select reactor.raise_alert($1, $2, $3, $4, $5, $6, $7)"


@dataclass(frozen=True, slots=True)
class Tenant:
    name: str
    loaded: LoadedSettings


async def load_tenant(ctx: Context) -> Tenant:
    row = await ctx.db.fetchrow(_LOAD, ctx.tenant_id)
    if row is None:  # deleted while the event was waiting: its rows are gone, and so is this event soon
        return Tenant("", parse_settings(None))
    return Tenant(row["name"] or "", parse_settings(row["agent_settings"]))


async def raise_alert(
    ctx: Context,
    alert_type: str,
    severity: str,
    message: str,
    metadata: dict[str, object],
    *,
    quiet: timedelta = timedelta(hours=1),
    same: dict[str, object] | None = None,
) -> bool:
    """Raise an alert unless the same one was raised within quiet; same narrows it down by metadata."""
    raised = await ctx.db.fetchval(
        _RAISE, ctx.tenant_id, alert_type, severity, message, metadata, quiet, same or {}
    )
    return raised is not None


async def say_broken(ctx: Context, problems: Sequence[str]) -> Retry:
    """One alert a day about the tenant's broken settings; returns what makes its events wait."""
    told = {"problems": list(problems)}
    await raise_alert(
        ctx,
        "settings_invalid",
        "critical",
        "Automation stands still for this tenant, its agent_settings cannot be used: " + "; ".join(problems),
        {**told},
        quiet=timedelta(days=1),
        same={**told},
    )
    return Retry(BROKEN_SETTINGS_PAUSE, "agent_settings cannot be used", counts=False)
