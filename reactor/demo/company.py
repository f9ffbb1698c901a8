"""A believable company to watch the reactor work for: tenants, clients, contacts, orders, clocks.

The same seed makes the same company: the same ids, names, amounts and faults. Only the moments differ, which
are told relative to the server's clock.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Final
from uuid import UUID

import orjson

from reactor.db.pool import Connection
from reactor.demo import names
from reactor.demo.order_forms import COLUMNS, OrderForm, Service, fill_in, new_uuid

DISABLED: Final = 2
"""The last tenants of a company are switched off: one by its agent_enabled, one by its is_active."""

WEBHOOK_KEY: Final = "demo_webhook"
"""In agent_settings: this tenant's alerts go to the demo's own receiver, wherever that is today."""

Row = tuple[object, ...]


@dataclass(slots=True)
class Tables:
    """The rows to be written, by table."""

    tenants: list[Row] = field(default_factory=list)
    profiles: list[Row] = field(default_factory=list)
    clients: list[Row] = field(default_factory=list)
    contacts: list[Row] = field(default_factory=list)
    products: list[Row] = field(default_factory=list)
    suppressions: list[Row] = field(default_factory=list)
    clocks: list[Row] = field(default_factory=list)
    orders: list[OrderForm] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Company:
    """What was made."""

    tenant_ids: tuple[UUID, ...]
    """Those that are switched on first, the disabled ones last."""
    enabled: int
    clients: int
    contacts: int
    orders: int
    clocks: int
    clocks_overdue: int
    clocks_due_soon: int


async def seed_company(
    conn: Connection,
    *,
    seed: int,
    tenants: int = 12,
    orders: int = 3000,
    clients_per_tenant: int = 40,
    due_within: timedelta = timedelta(seconds=60),
) -> Company:
    """Fill an empty, migrated database, and switch the automation on.

    All orders are queued. About a tenth of the clocks are overdue, fewer become so within `due_within`.
    `conn` must be a superuser's or the tables' owner's: COPY is refused to others under row level security.
    """
    if tenants <= DISABLED:
        raise ValueError(f"a company needs more than {DISABLED} tenants: {DISABLED} of them are switched off")
    rng = Random(seed)
    now: datetime = await conn.fetchval("select reactor.now()")
    tables = Tables()
    tenant_ids = []
    hearing = set()
    for n in range(tenants):
        tenant_ids.append(new_uuid(rng))
        if _tenant(rng, tables, tenant_ids[-1], n, n - (tenants - DISABLED)):
            hearing.add(tenant_ids[-1])
    services: dict[UUID, list[Service]] = {}
    clients: dict[UUID, list[UUID]] = {}
    soon = overdue = 0
    for tenant_id in tenant_ids:
        services[tenant_id] = list(_services(rng, tables, tenant_id))
        clients[tenant_id] = [new_uuid(rng) for _ in range(clients_per_tenant)]
        for client_id in clients[tenant_id]:
            # Nobody repeats a critical alert to a tenant in a quarter of an hour, when a demo may be over:
            # those whose alerts are delivered have none, because none of their clients is inactive.
            active = tenant_id in hearing or rng.random() >= 0.04
            for due in _client(rng, tables, tenant_id, client_id, active, now, due_within):
                overdue += due <= now
                soon += now < due <= now + due_within
    # Some tenants are busier than others, as they are.
    weights = [1 / (1 + rng.random() * 8) for _ in tenant_ids]
    for n, tenant_id in enumerate(rng.choices(tenant_ids, weights, k=orders)):
        at = now - timedelta(minutes=orders - n)
        form = fill_in(
            rng, tenant_id=tenant_id, clients=clients[tenant_id], services=services[tenant_id], at=at
        )
        tables.orders.append(form)
    async with conn.transaction():
        await _write(conn, tables)
    return Company(
        tenant_ids=tuple(tenant_ids),
        enabled=tenants - DISABLED,
        clients=len(tables.clients),
        contacts=len(tables.contacts),
        orders=len(tables.orders),
        clocks=len(tables.clocks),
        clocks_overdue=overdue,
        clocks_due_soon=soon,
    )


def _tenant(rng: Random, tables: Tables, tenant_id: UUID, number: int, disabled: int) -> bool:
    """`disabled` counts from 0 for the first tenant that is switched off; below that the tenant is on.

    Returns whether the tenant's alerts are delivered somewhere.
    """
    again = "" if number < len(names.LENDERS) else f" {number // len(names.LENDERS) + 1}"
    name = names.LENDERS[number % len(names.LENDERS)] + again
    domain = "".join(c for c in name.lower() if c.isalnum())
    settings: dict[str, object] = {
        "email_mode": ("suggest", "send", "dry_run", "suggest")[number % 4],
        # Nothing should have to wait for the next full hour.
        "max_emails_per_hour": 50_000,
        "max_emails_per_day": 500_000,
        "max_actions_per_hour": 500_000,
    }
    if number % 12 == 1:
        settings["alerts"] = {"emails": [f"ops@{domain}.example"], "min_severity": "warning"}
    if number % 12 in (0, 4):
        settings[WEBHOOK_KEY] = True
    if number % 12 == 7:
        settings["allowed_action_types"] = ["create_task"]
    tables.tenants.append((tenant_id, name, disabled < 1, disabled != 0, orjson.dumps(settings).decode()))
    for role in ("admin", "user", "user"):
        email = names.email(*names.person(rng), domain)
        tables.profiles.append((new_uuid(rng), tenant_id, role, email))
    return number % 12 in (0, 1, 4)


def _services(rng: Random, tables: Tables, tenant_id: UUID) -> Iterator[Service]:
    for name, price, low, high in names.SERVICES:
        service = Service(new_uuid(rng), price + rng.randint(-3, 3) * 5, low, high)
        tables.products.append((service.id, tenant_id, name, service.price, low, high))
        yield service


def _client(
    rng: Random,
    tables: Tables,
    tenant_id: UUID,
    client_id: UUID,
    active: bool,
    now: datetime,
    due_within: timedelta,
) -> Iterator[datetime]:
    """A client, its contacts and their clocks; yields the deadlines.

    The primary contact has no clock of their own beside the client's: nobody is written to about two clocks
    at once, where the second letter would wait for the first.
    """
    name = names.firm(rng)
    limit = Decimal(rng.choice((2_500, 5_000, 10_000, 25_000, 50_000)))
    balance = (limit * rng.randint(0, 85) / 100).quantize(Decimal("0.01"))
    tables.clients.append((client_id, tenant_id, name, active, limit, balance))
    domain = "".join(c for c in name.lower() if c.isalnum())
    for n in range(rng.choices((1, 2, 3), (5, 3, 2))[0]):
        contact_id = new_uuid(rng)
        first, last = names.person(rng)
        email = names.email(first, last, domain) if rng.random() < 0.85 else None
        tables.contacts.append(
            (contact_id, tenant_id, client_id, first, last, email, rng.choice(names.TITLES), n == 0)
        )
        if email is not None and rng.random() < 0.04:
            reason = rng.choice(("unsubscribe", "bounce", "complaint", "manual"))
            bounce = "hard" if reason == "bounce" else None
            tables.suppressions.append((new_uuid(rng), tenant_id, contact_id, email, reason, bounce))
        if n > 0 and rng.random() < 0.6:
            yield _clock(rng, tables, tenant_id, None, contact_id, now, due_within)
    yield _clock(rng, tables, tenant_id, client_id, None, now, due_within)


def _clock(
    rng: Random,
    tables: Tables,
    tenant_id: UUID,
    client_id: UUID | None,
    contact_id: UUID | None,
    now: datetime,
    due_within: timedelta,
) -> datetime:
    interval = rng.choice((14, 21, 21, 30))
    match rng.choices(("overdue", "soon", "later"), (12, 8, 80))[0]:
        case "overdue":
            due = now - timedelta(
                days=rng.choice((1, 3, 8, 12, 16, 19, 25, 40)), seconds=rng.randint(1, 80_000)
            )
        case "soon":
            due = now + due_within * rng.uniform(0.1, 1.0)
        case _:
            due = now + timedelta(days=rng.uniform(0.2, interval))
    touch = rng.choice(("call", "email", "meeting"))
    last = due - timedelta(days=interval)
    tables.clocks.append((new_uuid(rng), tenant_id, client_id, contact_id, last, touch, due, interval))
    return due


async def _write(conn: Connection, tables: Tables) -> None:
    await conn.executemany(
        "insert into public.tenants (id, name, is_active, agent_enabled, agent_settings) "
        "values ($1, $2, $3, $4, $5::text::jsonb)",
        tables.tenants,
    )
    await _copy(conn, "profiles", "id tenant_id role email", tables.profiles)
    await _copy(conn, "clients", "id tenant_id company_name is_active credit_limit balance", tables.clients)
    await _copy(
        conn,
        "contacts",
        "id tenant_id client_id first_name last_name email title is_primary",
        tables.contacts,
    )
    await _copy(conn, "products", "id tenant_id name price min_price max_price", tables.products)
    await _copy(
        conn,
        "email_suppressions",
        "id tenant_id contact_id email reason bounce_type",
        tables.suppressions,
    )
    await _copy(
        conn,
        "engagement_clocks",
        "id tenant_id client_id contact_id last_touch_at last_touch_type next_touch_due "
        "engagement_interval_days",
        tables.clocks,
    )
    await _copy(conn, "orders", " ".join(COLUMNS), [form.record() for form in tables.orders])
    await _copy(
        conn,
        "order_processing_queue",
        "tenant_id order_id",
        [(form.tenant_id, form.id) for form in tables.orders],
    )
    await conn.execute(
        """update public.system_config
        set value = value || '{"global_enabled": true, "kill_switch_reason": null}',
            updated_at = reactor.now()
        where key = 'agent_config'"""
    )


async def aim_webhooks(conn: Connection, url: str, secret: str) -> None:
    """Let some tenants' alerts go to the receiver of this run, whose port is another one each time."""
    await conn.execute(
        """update public.tenants
        set agent_settings = jsonb_set(agent_settings, '{alerts}', jsonb_build_object(
            'webhook_url', $1::text, 'webhook_secret', $2::text, 'dedup_minutes', 0))
        where agent_settings ? $3""",
        url,
        secret,
        WEBHOOK_KEY,
    )


async def _copy(conn: Connection, table: str, columns: str, rows: Sequence[Row]) -> None:
    await conn.copy_records_to_table(table, schema_name="public", columns=columns.split(), records=rows)
