"""The parts of the demo that can be looked at by themselves."""

import asyncio
import dataclasses
import io
import math
from collections import deque
from uuid import UUID

import httpx2
import pytest
from rich.console import Console

from reactor.db.pool import Connection
from reactor.demo import hook
from reactor.demo.company import aim_webhooks, seed_company
from reactor.demo.latency import Tracker, percentile
from reactor.demo.report import Report
from reactor.demo.screen import Scene, plain, render
from reactor.demo.verdict import Verdict
from reactor.demo.view import Queue, TenantRow
from reactor.outbound.webhook import WebhookSender, webhook_client

TENANTS = """
select t.name, t.is_active, t.agent_enabled, t.agent_settings,
    (select array_agg(o.id order by o.id) from public.orders o where o.tenant_id = t.id) as orders
from public.tenants t order by t.name
"""


async def test_the_same_seed_makes_the_same_company(conn: Connection) -> None:
    async def made(seed: int) -> list[tuple[object, ...]]:
        await conn.execute("truncate public.tenants cascade; truncate reactor.events")
        await seed_company(conn, seed=seed, tenants=4, orders=60, clients_per_tenant=5)
        return [tuple(row) for row in await conn.fetch(TENANTS)]

    first, again, other = await made(1), await made(1), await made(2)

    assert first == again
    assert first != other


async def test_a_company_is_believable(conn: Connection) -> None:
    company = await seed_company(conn, seed=7)

    row = await conn.fetchrow(
        """select
            (select count(*) from public.tenants where not (is_active and agent_enabled)) as off,
            (select count(*) from public.order_processing_queue where status = 'pending') as queued,
            (select count(*) from reactor.events where event_type = 'order.queued') as events,
            (select count(distinct reason) from public.email_suppressions) as reasons,
            (select count(*) from public.engagement_clocks where not is_compliant) as overdue,
            (select count(*) from public.clients where not is_active) as inactive,
            (select avg((fee_amount <= 0 or total_amount < fee_amount or tech_fee < 0 or client_id is null
                or coalesce(btrim(property_address), '') = '' or property_zip is null
                or borrower_name is null or property_contact_phone is null
                or borrower_email is null and borrower_phone is null
                or fee_amount not between p.min_price and p.max_price)::int)
             from public.orders o left join public.products p on p.id = o.product_id)::float8 as faulty"""
    )
    assert row is not None
    assert (len(company.tenant_ids), row["off"]) == (12, 2)
    assert row["queued"] == row["events"] == company.orders == 3000
    assert 0.15 < row["faulty"] < 0.25
    assert row["overdue"] == company.clocks_overdue > 20
    assert row["reasons"] == 4
    assert row["inactive"] > 0


async def test_webhooks_are_taken_for_genuine_by_their_signature_only(conn: Connection) -> None:
    await seed_company(conn, seed=7, orders=0)
    async with hook.receiving() as receiver, webhook_client() as client:
        await aim_webhooks(conn, receiver.url, receiver.secret)
        aimed = await conn.fetch(
            "select agent_settings -> 'alerts' as alerts from public.tenants "
            "where agent_settings #>> '{alerts,webhook_url}' is not null"
        )
        assert [row["alerts"]["webhook_url"] for row in aimed] == [receiver.url] * 2

        sender = WebhookSender(client, allow_private=True)
        genuine = await sender.send(receiver.url, [receiver.secret], "msg_1", b"{}")
        forged = await sender.send(receiver.url, ["whsec_" + "A" * 32], "msg_2", b"{}")
        unsigned = await httpx2.AsyncClient(trust_env=False).post(receiver.url, content=b"{}")

    assert (genuine.status, forged.status, unsigned.status_code) == (204, 401, 401)
    assert (receiver.genuine, receiver.forged) == (1, 2)


async def test_noise_on_the_webhook_port_is_ignored() -> None:
    async with hook.receiving() as receiver:
        port = int(receiver.url.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x00\x01 nonsense\r\n\r\n")
        await writer.drain()
        writer.write_eof()
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 401")
    assert receiver.genuine == 0


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50.0), (0.9, 90.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)]
)
def test_percentiles_are_of_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], share) == expected


def test_the_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(percentile([], 0.5))


def scene(tenants: int = 12) -> Scene:
    made = Scene("PostgreSQL 18.1", "Ctrl-C ends it.", Tracker(), doing="live")
    made.queue = Queue(ready=3, delayed=1, parked=7, dead=0, lag=0.012, armed=True, emails=5)
    made.tenants = [
        TenantRow(UUID(int=n), f"Tenant {n:02}", n > 0, 4, 1234, 5, 0, 6, 7, 3, 0) for n in range(tenants)
    ]
    made.tracker.recent[UUID(int=1)] = deque([1.0, 9.0])
    made.rates.extend([1.0, 20.0, 5.0])
    made.listening = True
    made.say("something happened")
    return made


def drawn(scene: Scene, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, record=True, file=io.StringIO())
    console.print(render(scene, height, width))
    return console.export_text().rstrip().splitlines()


def test_the_screen_shows_every_tenant_and_the_health_of_the_whole() -> None:
    lines = drawn(scene(), 110, 30)
    text = "\n".join(lines)

    assert all(f"Tenant {n:02}" in text for n in range(12))
    assert "1,234" in text
    assert "● listening" in text
    assert "armed" in text
    assert "something happened" in text
    assert next(line for line in lines if "Tenant 00" in line).rstrip().endswith("off")
    assert "9.0" in next(line for line in lines if "Tenant 01" in line)


def test_the_screen_fits_a_small_terminal() -> None:
    lines = drawn(scene(40), 80, 24)

    assert len(lines) <= 24
    assert any("more tenants" in line for line in lines)


@pytest.mark.parametrize("width", [40, 60, 80, 99, 100, 120])
def test_a_narrow_terminal_keeps_names_and_whole_numbers(width: int) -> None:
    shown = scene(3)
    shown.tenants = [dataclasses.replace(row, name=f"Harborline {row.name}") for row in shown.tenants]
    lines = drawn(shown, width, 24)
    text = " ".join(" ".join(lines).split())

    assert all(len(line) <= width for line in lines)
    assert len([line for line in lines if line.startswith(" Harborline")]) == 3
    assert "dead 0" in text  # the last word on the health of the whole
    assert "queued validated" in text
    assert ("p99 ms" in text) is (width >= 80)


def test_a_pipe_gets_one_line() -> None:
    assert "\n" not in plain(scene())
    assert "live" in plain(scene())


def test_a_problem_is_on_the_page_and_in_the_json_and_makes_it_fail() -> None:
    report = Report(seed=1, bounded=True)
    report.verdict = Verdict(
        counts=dict.fromkeys(
            [
                *("orders", "validated", "corrected", "with_exceptions", "cards", "emails_sent"),
                *("emails_dry_run", "blocked_actions", "alerts"),
            ],
            1,
        ),
        problems=["one order was forgotten"],
    )
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(report.as_page())

    assert not report.ok
    assert "✗ one order was forgotten" in console.export_text()
    assert report.as_json()["problems"] == ["one order was forgotten"]
