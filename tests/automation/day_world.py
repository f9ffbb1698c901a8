"""Lets a scripted day happen: a database whose clock is moved, mail server, webhook receiver, replica."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from standardwebhooks.webhooks import Webhook

from reactor import builtin
from reactor.automation import resources
from reactor.db.pool import Connection
from reactor.outbound.circuit import Circuit
from reactor.outbound.mailer import Mailer, make_mailer
from reactor.testing import running
from tests.automation import day_script as script
from tests.automation.day_script import KINDS, TENANTS, Act, Order
from tests.automation.desk import SOUND
from tests.automation.providers import HttpReceiver, Refusing, Request, answer, http_receiver, smtp_server
from tests.patience import patience

SECRET = "whsec_" + "YSBkYXkgb2YgdHdlbnR5IHRlbmFudHM="
_HOUSEKEEPING = ["reactor.fleet", "reactor.clocks", "reactor.partitions", "reactor.retention"]

# The clock stands still between its moves. It is a row, so that whoever sees what a move wrote sees its time
# too; a function that is replaced is known to other sessions a moment after its transaction's rows are, and a
# lease taken in that moment is over as soon as it is taken.
_CLOCK = """
create table reactor.day_clock (moment timestamptz not null);
grant select on reactor.day_clock to public;
insert into reactor.day_clock values ('{now}');
create or replace function reactor.now() returns timestamptz language sql stable parallel safe
return (select c.moment from reactor.day_clock c);
"""
# The replica lived meanwhile: so do its signs of life.
_MOVE = """
update reactor.day_clock set moment = '{now}';
update reactor.leadership set expires_at = '{now}'::timestamptz + interval '1 minute'
where leader is not null;
update reactor.replicas set seen_at = '{now}';
"""
# Whatever could be done now has been done; what an application has locked waits for it.
_BUSY = """
with locked as (
    select l.tenant_id from agent_tenant_locks l
    where l.expires_at > reactor.now() and l.lock_holder = 'the application')
select exists (
        select from reactor.events e
        where (e.available_at is null or e.available_at <= reactor.now()
               or e.available_at = 'infinity' and reactor.is_open(e.tenant_id))
            and e.tenant_id not in (select tenant_id from locked))
    or exists (select from engagement_clocks where is_compliant and next_touch_due <= reactor.now())
    or exists (select from agent_tenant_locks where tenant_id not in (select tenant_id from locked))
    or exists (
        select from unnest($1::text[]) as j (name) left join reactor.schedules s using (name)
        where s.name is null or s.due_at <= reactor.now()
            or s.started_at is not null and s.finished_at is null)
"""


@dataclass
class World:
    """The day, as applications, receivers and a superuser see it."""

    conn: Connection
    midnight: datetime
    postbox: Refusing
    receiver: HttpReceiver
    ids: dict[str, UUID] = field(default_factory=lambda: {name: uuid4() for name in TENANTS})
    named: dict[str, UUID] = field(default_factory=dict)
    webhook_ids: Counter[tuple[str, str]] = field(default_factory=Counter)
    webhooks: Counter[str] = field(default_factory=Counter)
    refused_webhooks: Counter[str] = field(default_factory=Counter)
    now: int = script.START
    slowest: tuple[float, int] = (0.0, 0)

    def moment(self, minutes: int) -> datetime:
        return self.midnight + timedelta(minutes=minutes)

    def name(self, tenant_id: UUID) -> str:
        return next(name for name, id_ in self.ids.items() if id_ == tenant_id)

    def minute(self, moment: datetime) -> int:
        return round((moment - self.midnight).total_seconds()) // 60

    async def take(self, request: Request) -> bytes:
        """The receiver: verifies each webhook with the scheme's own library."""
        tenant = request.path.removeprefix("/")
        Webhook(SECRET).verify(request.body, request.headers)
        assert request.json()["data"]["tenant_id"] == str(self.ids[tenant])
        if tenant == "hooked" and script.HOOK_DOWN[0] <= self.now < script.HOOK_DOWN[1]:
            self.refused_webhooks[tenant] += 1
            return answer(503)
        self.webhooks[tenant] += 1
        self.webhook_ids[tenant, request.headers["webhook-id"]] += 1
        return answer()

    async def settle_in(self) -> None:
        """Everything that was there before the day."""
        await self.conn.execute(_CLOCK.format(now=self.moment(script.START)))
        await self.conn.execute(
            "update system_config set value = jsonb_set(value, '{global_enabled}', 'true') "
            "where key = 'agent_config'"
        )
        for name, tenant in TENANTS.items():
            await self.conn.execute(
                "insert into tenants (id, name, is_active, agent_enabled, agent_settings) "
                "values ($1, $2, $3, $4, $5)",
                self.ids[name],
                name,
                tenant.active,
                tenant.enabled,
                self.settings(name, tenant.settings),
            )
            for client in tenant.clients:
                self.named[f"{name}/{client.name}"] = await self.conn.fetchval(
                    "insert into clients (tenant_id, company_name, is_active, credit_limit, balance) "
                    "values ($1, $2, $3, $4, $5) returning id",
                    self.ids[name],
                    client.name,
                    client.active,
                    client.limit,
                    client.balance,
                )
            for contact in tenant.contacts:
                self.named[f"{name}/{contact.name}"] = await self.conn.fetchval(
                    "with person as (insert into contacts (tenant_id, first_name, email, title) "
                    "values ($1, $2, $3, $4) returning id) "
                    "insert into engagement_clocks (tenant_id, contact_id, next_touch_due, evaluated_at) "
                    "select $1, id, $5, reactor.now() from person returning contact_id",
                    self.ids[name],
                    contact.name,
                    f"{contact.name}@{name}.test" if contact.email else None,
                    contact.title,
                    self.moment(contact.due),
                )
        await self.conn.execute(
            "insert into agent_autonomous_runs (tenant_id, started_at, completed_at, created_at, phase, "
            "status, trigger, emails_sent, duration_ms) "
            "select $1, t, t, t, 'completed', 'completed', 'event', $3, 0 "
            "from unnest($2::timestamptz[]) as t",
            self.ids["busy"],
            [self.moment(30 - 60 * n) for n in range(1, script.EARLIER_HOURS + 1)],
            script.EARLIER_EMAILS,
        )

        for table, days in script.KEPT_DAYS.items():
            await self.history(table, days)

    async def history(self, table: str, days: int) -> None:
        """A row of "plain" that is a day and a half too old, and one that may stay as long."""
        columns, values, born = {
            "agent_policy_violations": ("violation_type, reason", "'old', 'old'", "created_at"),
            "agent_alerts": ("alert_type, severity, acknowledged", "'old', 'info', true", "created_at"),
            "agent_hourly_reflections": ("summary", "'{}'", "created_at"),
            "agent_autonomous_runs": ("status", "'completed'", "created_at"),
            "email_provider_failures": ("error_type", "'old'", "created_at"),
            "agent_rate_limits": ("action_type, window_end", "'old', now()", "window_start"),
        }[table]
        for age in (24 * days - 36, 24 * days + 36):
            await self.conn.execute(
                f"insert into {table} (id, tenant_id, {columns}, {born}) "
                f"select reactor.uuid7_floor(t), $1, {values}, t "
                "from (select reactor.now() - make_interval(hours => $2)) as o (t)",
                self.ids["plain"],
                age,
            )
        if table == "agent_alerts":  # one that nobody has seen is never forgotten
            await self.conn.execute(
                "insert into agent_alerts (tenant_id, alert_type, severity, created_at) "
                "values ($1, 'unseen', 'info', reactor.now() - interval '1000 days')",
                self.ids["plain"],
            )

    def settings(self, name: str, settings: dict[str, object]) -> dict[str, object]:
        alerts: dict[str, object] = {}
        if TENANTS[name].webhook:
            alerts |= {
                "webhook_url": f"http://127.0.0.1:{self.receiver.port}/{name}",
                "webhook_secret": SECRET,
            }
        if TENANTS[name].alert_emails:
            alerts["emails"] = [f"ops{n}@{name}.test" for n in range(TENANTS[name].alert_emails)]
        return {**settings, "alerts": alerts}

    async def live(self) -> None:
        """The whole day, with a replica running."""
        await self.quiet()
        for minute in script.moves():
            self.postbox.down = script.SMTP_DOWN[0] <= minute < script.SMTP_DOWN[1]
            self.now = minute
            async with self.conn.transaction():
                await self.conn.execute(_MOVE.format(now=self.moment(minute)))
                for act in script.ACTS:
                    if act.at == minute:
                        await self.act(act)
                await self.conn.execute("select pg_notify('reactor', 'timer'), pg_notify('reactor', '')")
            await self.quiet()

    async def quiet(self) -> None:
        jobs = [job.name for job in builtin.app.jobs] + _HOUSEKEEPING
        began = time.monotonic()
        async with patience(20):
            while await self.conn.fetchval(_BUSY, jobs):
                await asyncio.sleep(0.005)
        self.slowest = max(self.slowest, (time.monotonic() - began, self.now))

    async def act(self, act: Act) -> None:
        tenant = self.ids.get(act.tenant)
        run = self.conn.execute
        match act.what:
            case "order" if act.order is not None:
                await self.order(act.tenant, act.order)
            case "delete order":
                await run("delete from orders where id = $1", self.named[act.name])
            case "mend order":
                await run(
                    "update orders set property_address = '1 Elm St' where id = $1", self.named[act.name]
                )
                await run(
                    "update order_processing_queue set status = 'pending' where order_id = $1",
                    self.named[act.name],
                )
            case "kill switch":
                await run("select reactor.set_kill_switch($1, 'an audit')", act.on)
            case "enable":
                await run("update tenants set agent_enabled = $2 where id = $1", tenant, act.on)
            case "settings":
                await run(
                    "update tenants set agent_settings = $2 where id = $1",
                    tenant,
                    self.settings(act.tenant, act.settings),
                )
            case "suppress contact":
                await run(
                    "insert into email_suppressions (tenant_id, contact_id, reason) "
                    "values ($1, $2, 'complaint')",
                    tenant,
                    self.named[f"{act.tenant}/{act.name}"],
                )
            case "suppress address":
                await run(
                    "insert into email_suppressions (tenant_id, email, reason) "
                    "values ($1, $2, 'unsubscribe')",
                    tenant,
                    await self.next_recipient(act),
                )
            case "touch":
                await run(
                    "select update_engagement_clock($1, null, (select id from contacts where tenant_id = $1 "
                    "and email = $2), 'call', null)",
                    tenant,
                    await self.next_recipient(act),
                )
            case "lock":
                assert await self.conn.fetchval(
                    "select acquire_tenant_lock($1, 'the application', $2)", tenant, act.minutes
                )
            case "emit":
                await run("select reactor.emit($1, $2)", tenant, act.name)
            case "alert":
                await run(
                    "insert into agent_alerts (tenant_id, alert_type, severity, message, created_at) "
                    "values ($1, $2, $3, 'said by the application', reactor.now())",
                    tenant,
                    act.name,
                    act.severity,
                )
            case "acknowledge":
                await run(
                    "update agent_alerts set acknowledged = true, acknowledged_at = reactor.now() "
                    "where tenant_id = $1 and alert_type = $2 and not acknowledged",
                    tenant,
                    act.name,
                )
            case other:
                raise AssertionError(f"the script says {other}, which nobody can do")

    async def next_recipient(self, act: Act) -> str:
        """Of those whose emails wait, the one whose turn is next; or the contact that the act names."""
        if act.name not in ("second", "third"):
            return f"{act.name}@{act.tenant}.test".upper()
        found: str = await self.conn.fetchval(
            "select recipient from reactor.email_intents where tenant_id = $1 and status = 'queued' "
            "order by slot limit 1",
            self.ids[act.tenant],
        )
        return found

    async def order(self, tenant: str, order: Order) -> None:
        columns = dict(SOUND) | dict(KINDS[order.kind][0])
        if order.total is not None:
            columns["total_amount"] = order.total
        if order.client is not None:
            columns["client_id"] = self.named[f"{tenant}/{order.client}"]
        owner = "plain" if order.kind == "foreign" else tenant
        columns = {"tenant_id": self.ids[owner], **columns}
        places = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
        order_id = await self.conn.fetchval(
            f"insert into orders ({', '.join(columns)}) values ({places}) returning id", *columns.values()
        )
        await self.conn.execute(
            "insert into order_processing_queue (tenant_id, order_id, queued_at) "
            "values ($1, $2, reactor.now())",
            self.ids[tenant],
            order_id,
        )
        if order.name:
            self.named[order.name] = order_id


@asynccontextmanager
async def world(conn: Connection, database_url: str, monkeypatch) -> AsyncIterator[World]:
    """A world before its day, with a replica that runs the built-in app."""
    midnight = await conn.fetchval("select date_trunc('day', clock_timestamp(), 'UTC') + interval '1 day'")
    postbox = Refusing(rcpt={script.BAD_ADDRESS: "550 5.1.1 no such user"})
    async with smtp_server(postbox) as port, http_receiver() as receiver:
        found = World(conn, midnight, postbox, receiver)
        receiver.respond = found.take

        def by_its_clock(url: str, sender: str) -> Mailer:
            mailer = make_mailer(url, sender)
            mailer.circuit = Circuit(clock=lambda: found.now * 60.0)
            return mailer

        monkeypatch.setattr(resources, "make_mailer", by_its_clock)
        # Hours and days are UTC's, whatever zone the sessions are in; this one is off by no whole hour.
        name = await conn.fetchval("select current_database()")
        await conn.execute(f"alter database {name} set timezone = 'Asia/Kathmandu'")
        await found.settle_in()
        email = {"email_url": f"smtp://127.0.0.1:{port}", "email_from": "Us <us@reactor.test>"}
        async with running(builtin.app, database_url, webhook_allow_private=True, **email):
            async with patience(20):
                while not await conn.fetchval(
                    "select count(*) >= 8 from reactor.schedules where name like 'reactor.%'"
                ):
                    await asyncio.sleep(0.005)
            yield found
