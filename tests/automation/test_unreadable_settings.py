"""agent_settings and alerts hold whatever JSON somebody put there: work waits, and never dies of it."""

import json

import pytest

from reactor.testing import drain
from tests.automation.company import Company, automations
from tests.automation.providers import http_receiver

SECRET = "whsec_" + "bmV3IHNlY3JldCBuZXcgc2VjcmV0IG5ldw=="
PRIVATE = {"webhook_allow_private": True}
HUGE = "1" + "0" * 400
DEEP = "[" * 3000 + "]" * 3000


def friendly(text):
    return json.dumps({"friendly": {"subject": "x", "text": text}})


BROKEN = {
    "nested if": friendly("{% if title %}" * 101 + "a" + "{% endif %}" * 101),
    "parentheses": friendly("{{ " + "(" * 2000 + "title" + ")" * 2000 + " }}"),
    "not not": friendly("{% if " + "not " * 4000 + "title %}a{% endif %}"),
    "levels": DEEP,
    "number": HUGE,
}


async def configured(conn, **parts):
    """Settings that are no Python values."""
    company = await Company.found(conn)
    await conn.execute(
        "update tenants set agent_settings = $2::text::jsonb where id = $1",
        company.tenant_id,
        "{" + ",".join(f'"{key}": {text}' for key, text in parts.items()) + "}",
    )
    return company


@pytest.mark.parametrize("templates", BROKEN.values(), ids=BROKEN)
async def test_work_waits_for_templates_that_cannot_be_read_and_the_tenant_is_told(
    conn, database_url, templates
):
    async with http_receiver() as receiver:
        hook = json.dumps({"webhook_url": receiver.url, "webhook_secret": SECRET})
        company = await configured(conn, templates=templates, alerts=hook)
        await company.overdue(client=await company.client())
        await company.alert()
        await drain(automations(), database_url, **PRIVATE)
        told = {request.json()["data"]["alert_type"] for request in receiver.requests}
    assert told == {"disk_full", "settings_invalid"}
    assert await company.rows("reactor.dead_events") == []
    assert await company.cards() == []
    [waiting] = await conn.fetch("select * from reactor.events where event_type = 'engagement.overdue'")
    assert waiting["attempts"] == 0


@pytest.mark.parametrize("mine", [HUGE, DEEP], ids=["number", "levels"])
async def test_a_key_of_the_application_stops_nothing_whatever_it_holds(conn, database_url, mine):
    company = await configured(conn, mine=mine)
    await company.overdue(client=await company.client())
    await drain(automations(), database_url)
    assert len(await company.cards()) == 1
    assert await company.rows("agent_alerts") == []


@pytest.mark.parametrize(
    ("metadata", "created_at"),
    [
        (f'{{"size": {HUGE}}}', "2026-01-01"),
        (f'{{"size": {DEEP}}}', "2026-01-01"),
        (f'{{"size": {"[" * 300 + "]" * 300}}}', "2026-01-01"),
        ("{}", "infinity"),
        ("{}", "-infinity"),
        ("{}", "294276-12-31"),
        ("{}", "4000-01-01 BC"),
    ],
)
async def test_an_alert_is_delivered_whatever_its_metadata_and_its_date(
    conn, database_url, metadata, created_at
):
    async with http_receiver() as receiver:
        company = await Company.found(
            conn, alerts={"webhook_url": receiver.url, "webhook_secret": SECRET, "emails": ["a@b.test"]}
        )
        await conn.execute(
            "insert into agent_alerts (tenant_id, alert_type, severity, message, metadata, created_at) "
            "values ($1, 'x', 'critical', 'm', $2::text::jsonb, $3::text::timestamptz)",
            company.tenant_id,
            metadata,
            created_at,
        )
        await drain(automations(), database_url, **PRIVATE)
        [request] = receiver.requests
    assert metadata.encode().replace(b" ", b"") in request.body
    rows = await conn.fetch("select channel, status from reactor.alert_deliveries")
    assert sorted(row["status"] for row in rows) == ["delivered", "delivered"]
    # It is repeated until somebody acknowledges it.
    await conn.execute("update reactor.events set available_at = null")
    await drain(automations(), database_url, **PRIVATE)
    assert len(await conn.fetch("select from reactor.alert_deliveries")) == 4
