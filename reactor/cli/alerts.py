"""``reactor alerts``."""

from typing import Annotated, Literal
from uuid import UUID

from cyclopts import Parameter

from reactor.cli.arguments import group, in_range
from reactor.cli.channels import channels, enable_channel
from reactor.cli.output import print_json, print_rows
from reactor.cli.session import session
from reactor.db import operations
from reactor.db.named import tenant_id
from reactor.errors import BadArgument
from reactor.telemetry import deeds
from reactor.telemetry.words import ago, shorten

Json = Annotated[bool, Parameter(help="Write JSON to stdout.")]

app = group(
    "alerts",
    "What an operator must hear of: list, ack, channels, enable-channel.",
    "reactor alerts list --severity critical",
)
app.command(channels)
app.command(enable_channel)


@app.command(name="list")
async def list_(
    *,
    all_: Annotated[bool, Parameter(name="--all", help="Those that were acknowledged, too.")] = False,
    tenant: str | None = None,
    severity: Literal["info", "warning", "critical"] | None = None,
    limit: int = 50,
    json: Json = False,
) -> int:
    """Lists alerts that nobody acknowledged, the latest first.

    Exits 0, also when there are none.

    Example: ``reactor alerts list --severity critical``

    Parameters
    ----------
    tenant
        Only alerts of this tenant, by its id or its name.
    severity
        Only alerts of this severity.
    limit
        At most so many.
    """
    in_range("--limit", limit, 1)
    async with session("alerts list") as connection:
        of = await tenant_id(connection, tenant) if tenant is not None else None
        rows = [
            dict(row)
            for row in await operations.list_alerts(
                connection, limit, acknowledged=all_, tenant=of, severity=severity
            )
        ]
        now = await operations.now(connection)
    if json:
        print_json(rows)
        return 0
    shown = [
        row
        | {
            "tenant": row["tenant_name"],
            "type": row["alert_type"],
            "raised": ago(row["created_at"], now),
            "acknowledged": ago(row["acknowledged_at"], now) if row["acknowledged"] else None,
            "message": shorten(row["message"] or "", 100),
        }
        for row in rows
    ]
    columns = ["id", "severity", "type", "tenant", "raised", *(["acknowledged"] if all_ else []), "message"]
    print_rows(shown, columns, whole=("id",), empty="No alert waits for anybody.")
    if len(rows) == limit:
        print(f"(The latest {limit}; see --limit.)")
    return 0


@app.command
async def ack(*alerts: UUID, by: UUID | None = None, json: Json = False) -> int:
    """Says that somebody has seen alerts: they are not delivered again.

    Exits 1 when all of them were acknowledged before, 2 when one does not exist; then none is changed.

    Example: ``reactor alerts ack 0199f1d4-6a55-7c1e-8f43-3f5a2b1c0d9e``

    Parameters
    ----------
    alerts
        Their ids.
    by
        The id of the person's profile.
    """
    if not alerts:
        raise BadArgument("which alerts?", hint="`reactor alerts list` shows their ids")
    async with session("alerts ack") as connection, connection.transaction():
        done = [alert for alert in alerts if await operations.acknowledge_alert(connection, alert, by)]
    if json:
        print_json({"acknowledged": done, "before": [alert for alert in alerts if alert not in done]})
    else:
        print(deeds.alerts(len(done), len(alerts) - len(done)))
    return 0 if done else 1
