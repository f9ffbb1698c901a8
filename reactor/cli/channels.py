"""``reactor alerts channels`` and ``enable-channel``: where alerts go, and which way was given up."""

from datetime import datetime
from typing import Annotated, LiteralString
from urllib.parse import urlsplit
from uuid import UUID

from cyclopts import Parameter

from reactor.automation.alert_channels import Channel, ChannelKind, channels_of
from reactor.automation.tenant_settings import parse_settings
from reactor.cli.output import print_json, print_rows
from reactor.cli.session import session
from reactor.db.named import tenant_id
from reactor.db.pool import Connection
from reactor.telemetry.words import ago, many

# The application may have made the column json or text: as text, it is looked through in any of them.
_TENANTS: LiteralString = """
select t.id, t.name, t.agent_settings
from public.tenants t
where ($1::uuid is null or t.id = $1) and pg_catalog.strpos(t.agent_settings::text, 'alerts') > 0
order by t.name, t.id
"""
_OFF: LiteralString = """
select o.tenant_id, o.channel, o.reason, o.created_at
from reactor.alert_channels_off o
where $1::uuid is null or o.tenant_id = $1
order by o.channel
"""
_LATELY: LiteralString = """
select d.tenant_id, d.channel, max(d.settled_at) filter (where d.status = 'delivered') as delivered_at,
    max(d.settled_at) filter (where d.status = 'failed') as failed_at
from reactor.alert_deliveries d
where d.channel <> '' and ($1::uuid is null or d.tenant_id = $1)
group by d.tenant_id, d.channel
"""
_ENABLE: LiteralString = "select reactor.enable_alert_channel($1, $2)"

Json = Annotated[bool, Parameter(help="Write JSON to stdout.")]
Row = dict[str, object]


async def channels(*, tenant: str | None = None, off: bool = False, json: Json = False) -> int:
    """Lists where alerts go, when each channel last took one, and which were switched off.

    A webhook that answers 410 is switched off until `reactor alerts enable-channel`.

    Example: ``reactor alerts channels --off``

    Parameters
    ----------
    tenant
        Only the channels of this tenant, by its id or its name.
    off
        Only those that were switched off.
    """
    async with session("alerts channels") as connection:
        of = await tenant_id(connection, tenant) if tenant is not None else None
        rows = [row for row in await _rows(connection, of) if row["off_since"] is not None or not off]
        now: datetime = await connection.fetchval("select reactor.now()")
    if json:
        print_json(rows)
        return 0
    times = ("delivered_at", "failed_at", "off_since")
    shown = [row | {name: _ago(row[name], now) for name in times} for row in rows]
    columns = ["tenant_id", "tenant", "channel", "goes_to", *times]
    print_rows(shown, columns, empty="No channel is off." if off else "No tenant has a channel.")
    return 0


async def enable_channel(tenant: str, /, *channels: str, json: Json = False) -> int:
    """Gives alert channels that were switched off another chance.

    Exits 1 when none of them was off, 2 when there is no such tenant.

    Example: ``reactor alerts enable-channel 0b6f0f6e-2c43-4b43-a2f6-0f2c7c1c9a10 webhook:3f5a2b1c0d9e8f43``

    Parameters
    ----------
    tenant
        The tenant's id or its name.
    channels
        Their names, as `reactor alerts channels` prints them. None: all of the tenant's.
    """
    async with session("alerts enable-channel") as connection, connection.transaction():
        of = await tenant_id(connection, tenant)
        wanted = channels or tuple(row["channel"] for row in await connection.fetch(_OFF, of))
        enabled = [name for name in wanted if await connection.fetchval(_ENABLE, of, name)]
    if json:
        print_json({"tenant_id": of, "enabled": enabled})
    elif enabled:
        print(f"{many(len(enabled), 'channel')} on again: {', '.join(enabled)}.")
    else:
        print("No such channel was off.")
    return 0 if enabled else 1


async def _rows(connection: Connection, tenant: UUID | None) -> list[Row]:
    off = {(row["tenant_id"], row["channel"]): row for row in await connection.fetch(_OFF, tenant)}
    lately = {(row["tenant_id"], row["channel"]): row for row in await connection.fetch(_LATELY, tenant)}
    found: list[Row] = []
    for row in await connection.fetch(_TENANTS, tenant):
        for channel in channels_of(parse_settings(row["agent_settings"]).settings.alerts):
            key = (row["id"], channel.name)
            told, gone = lately.get(key), off.get(key)
            found.append(
                {
                    "tenant_id": row["id"],
                    "tenant": row["name"],
                    "channel": channel.name,
                    "goes_to": goes_to(channel),
                    "delivered_at": told and told["delivered_at"],
                    "failed_at": told and told["failed_at"],
                    "off_since": gone and gone["created_at"],
                    "off_because": gone and gone["reason"],
                }
            )
    return found


def goes_to(channel: Channel) -> str:
    """What a person may see of a channel: of a URL the host, since its path may be a secret."""
    if channel.kind is ChannelKind.EMAIL:
        return channel.target
    return urlsplit(channel.target).hostname or "?"


def _ago(value: object, now: datetime) -> str | None:
    return ago(value, now) if isinstance(value, datetime | str) else None
