"""A small company to try the automations on: tenants, clients, contacts, clocks, and what became of them."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from reactor.app import Reactor
from reactor.automation.alert_delivery import deliver_to_channel
from reactor.automation.alerts import deliver_alert, escalate_alert
from reactor.automation.engagement import handle_overdue, score_clocks
from reactor.automation.resources import builtin_resources
from reactor.automation.sending import send_email
from reactor.db.pool import Connection
from tests.patience import patience


def automations() -> Reactor:
    """An app with the handlers under test and nothing else."""
    app = Reactor(lifespan=builtin_resources)
    app.on("engagement.overdue", batch=100, gated=True)(handle_overdue)
    app.on("engagement.score", gated=True)(score_clocks)
    app.on("email.send", gated=True)(send_email)
    app.on("alert.created")(deliver_alert)
    app.on("alert.deliver")(deliver_to_channel)
    app.on("alert.escalate")(escalate_alert)
    return app


async def until(check: Callable[[], Awaitable[Any]], within: float = 15.0) -> Any:
    """Wait for a fact: what check gives as soon as that is true of it."""
    async with patience(within):
        while not (found := await check()):
            await asyncio.sleep(0.01)
        return found


@dataclass(frozen=True)
class Company:
    """One tenant, as a superuser sees it."""

    db: Connection
    tenant_id: UUID

    @classmethod
    async def found(cls, db: Connection, *, enabled: bool = True, **settings: Any) -> "Company":
        tenant_id = uuid.uuid4()
        await db.execute(
            "insert into tenants (id, name, agent_enabled, agent_settings) values ($1, 'Acme', $2, $3)",
            tenant_id,
            enabled,
            settings,
        )
        await db.execute(
            "update system_config set value = jsonb_set(value, '{global_enabled}', 'true') "
            "where key = 'agent_config'"
        )
        return cls(db, tenant_id)

    async def configure(self, **settings: Any) -> None:
        await self.db.execute(
            "update tenants set agent_settings = $2 where id = $1", self.tenant_id, settings
        )

    async def client(self, name: str = "Widgets Ltd") -> UUID:
        client_id: UUID = await self.db.fetchval(
            "insert into clients (tenant_id, company_name) values ($1, $2) returning id", self.tenant_id, name
        )
        return client_id

    async def contact(
        self,
        email: str | None = None,
        *,
        client: UUID | None = None,
        first_name: str = "Ada",
        title: str | None = None,
        primary: bool = False,
    ) -> UUID:
        contact_id: UUID = await self.db.fetchval(
            "insert into contacts (tenant_id, client_id, first_name, last_name, email, title, is_primary) "
            "values ($1, $2, $3, 'Lovelace', $4, $5, $6) returning id",
            self.tenant_id,
            client,
            first_name,
            email,
            title,
            primary,
        )
        return contact_id

    async def overdue(
        self, *, contact: UUID | None = None, client: UUID | None = None, days: int = 1
    ) -> UUID:
        """A clock that is overdue from the start, so its event is in the outbox."""
        clock_id: UUID = await self.db.fetchval(
            "insert into engagement_clocks (tenant_id, client_id, contact_id, next_touch_due) "
            "values ($1, $2, $3, now() - $4::interval - interval '1 minute') returning id",
            self.tenant_id,
            client,
            contact,
            timedelta(days=days),
        )
        return clock_id

    async def overdue_contacts(self, count: int, *, days: int = 1) -> None:
        """So many contacts with an address each, all overdue."""
        await self.db.execute(
            "with people as (insert into contacts (tenant_id, first_name, last_name, email) "
            "select $1, 'P' || n, 'Erson', 'p' || n || '@people.test' from generate_series(1, $2::int) n "
            "returning id) "
            "insert into engagement_clocks (tenant_id, contact_id, next_touch_due) "
            "select $1, id, now() - $3::interval - interval '1 minute' from people",
            self.tenant_id,
            count,
            timedelta(days=days),
        )

    async def alert(self, alert_type: str = "disk_full", severity: str = "critical", **metadata: Any) -> UUID:
        alert_id: UUID = await self.db.fetchval(
            "insert into agent_alerts (tenant_id, alert_type, severity, message, metadata, created_at) "
            "values ($1, $2, $3, 'The disk is full', $4, reactor.now()) returning id",
            self.tenant_id,
            alert_type,
            severity,
            metadata,
        )
        return alert_id

    async def rows(self, table: str, order: str = "created_at") -> list[dict[str, Any]]:
        found = await self.db.fetch(
            f"select * from {table} where tenant_id = $1 order by {order}", self.tenant_id
        )
        return [dict(row) for row in found]

    async def cards(self) -> list[dict[str, Any]]:
        return await self.rows("kanban_cards")

    async def intents(self) -> list[dict[str, Any]]:
        return await self.rows("reactor.email_intents")

    async def violations(self) -> list[dict[str, Any]]:
        return await self.rows("agent_policy_violations")

    async def alerts(self, alert_type: str | None = None) -> list[dict[str, Any]]:
        found = await self.rows("agent_alerts")
        return [row for row in found if alert_type in (None, row["alert_type"])]

    async def run_totals(self) -> dict[str, int]:
        row = await self.db.fetchrow(
            "select sum(actions_planned) as planned, sum(actions_executed) as executed, "
            "sum(actions_blocked) as blocked, sum(emails_sent) as emails_sent, sum(cards_created) as cards "
            "from agent_autonomous_runs where tenant_id = $1",
            self.tenant_id,
        )
        return {key: int(value or 0) for key, value in dict(row).items()}

    async def waiting(self, event_type: str) -> list[dict[str, Any]]:
        """Events of the outbox, with how long each still waits."""
        found = await self.db.fetch(
            "select *, available_at - reactor.now() as wait from reactor.events "
            "where tenant_id = $1 and event_type = $2 order by id",
            self.tenant_id,
            event_type,
        )
        return [dict(row) for row in found]
