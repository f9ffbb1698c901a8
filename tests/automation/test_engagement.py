"""An overdue clock becomes an email, a proposal or a task: with the real engine and a real server."""

import pytest

from reactor.testing import drain, running
from tests.automation.company import Company, automations, until


async def test_a_contact_with_an_address_gets_a_proposed_email(conn, database_url):
    company = await Company.found(conn)
    client = await company.client()
    contact = await company.contact("ada@widgets.test", client=client, title="Vice President", primary=True)
    clock = await company.overdue(contact=contact, days=16)

    await drain(automations(), database_url)

    [card] = await company.cards()
    assert (card["type"], card["state"], card["priority"]) == ("send_email", "suggested", "high")
    assert (card["client_id"], card["contact_id"]) == (client, contact)
    assert card["action_payload"]["to"] == "ada@widgets.test"
    assert card["action_payload"]["clock_id"] == str(clock)
    assert card["action_payload"]["tone"] == "direct"
    assert card["action_payload"]["score"] == 32 + 20 + 15
    assert "Ada" in card["description"]
    assert await company.intents() == []
    assert await company.run_totals() == {
        "planned": 1,
        "executed": 1,
        "blocked": 0,
        "emails_sent": 0,
        "cards": 1,
    }


@pytest.mark.parametrize("address", [None, "", "not an address", "two@at@signs.test"])
async def test_a_contact_without_a_usable_address_becomes_a_task(conn, database_url, address):
    company = await Company.found(conn, email_mode="send")
    await company.overdue(contact=await company.contact(address), days=8)

    await drain(automations(), database_url)

    [card] = await company.cards()
    assert (card["type"], card["state"], card["priority"]) == ("create_task", "suggested", "medium")
    assert await company.intents() == []


async def test_a_clients_clock_is_about_its_primary_contact(conn, database_url):
    company = await Company.found(conn)
    client = await company.client()
    await company.contact("other@widgets.test", client=client)
    primary = await company.contact("boss@widgets.test", client=client, primary=True)
    await company.overdue(client=client)

    await drain(automations(), database_url)

    [card] = await company.cards()
    assert (card["contact_id"], card["action_payload"]["to"]) == (primary, "boss@widgets.test")


async def test_a_client_without_contacts_becomes_a_task(conn, database_url):
    company = await Company.found(conn)
    client = await company.client("Lonely Ltd")
    await company.overdue(client=client)

    await drain(automations(), database_url)

    [card] = await company.cards()
    assert (card["type"], card["client_id"], card["contact_id"]) == ("create_task", client, None)
    assert "Lonely Ltd" in card["title"]


async def test_a_clock_that_was_touched_before_its_turn_calls_for_nothing(conn, database_url):
    company = await Company.found(conn)
    contact = await company.contact("ada@widgets.test")
    await company.overdue(contact=contact)
    await conn.execute(
        "select update_engagement_clock($1, null, $2, 'call', null)", company.tenant_id, contact
    )

    left = await drain(automations(), database_url)

    assert await company.cards() == []
    assert left.dead == 0


async def test_a_clock_that_was_set_to_never_before_its_turn_calls_for_nothing(conn, database_url):
    if conn.get_server_version().major < 17:
        pytest.skip("before 17 the generated column refuses infinity")
    company = await Company.found(conn)
    clock = await company.overdue(contact=await company.contact("ada@widgets.test"))
    await conn.execute("update engagement_clocks set next_touch_due = 'infinity' where id = $1", clock)

    left = await drain(automations(), database_url)

    assert await company.cards() == []
    assert left.dead == 0


async def test_a_clock_that_becomes_overdue_again_does_not_double_an_open_card(conn, database_url):
    company = await Company.found(conn)
    clock = await company.overdue(contact=await company.contact("ada@widgets.test"))
    await drain(automations(), database_url)

    for due in ("now() + interval '1 day'", "now() - interval '1 day'"):
        await conn.execute(f"update engagement_clocks set next_touch_due = {due} where id = $1", clock)
    await drain(automations(), database_url)
    assert len(await company.cards()) == 1

    await conn.execute("update kanban_cards set state = 'done'")
    for due in ("now() + interval '1 day'", "now() - interval '1 day'"):
        await conn.execute(f"update engagement_clocks set next_touch_due = {due} where id = $1", clock)
    await drain(automations(), database_url)
    assert len(await company.cards()) == 2


async def test_a_clock_that_is_gone_is_discarded_and_the_rest_of_the_batch_goes_on(conn, database_url):
    company = await Company.found(conn)
    gone = await company.overdue(contact=await company.contact("gone@widgets.test"))
    await conn.execute("delete from engagement_clocks where id = $1", gone)
    await company.overdue(contact=await company.contact("ada@widgets.test"))

    left = await drain(automations(), database_url)

    assert left.dead == 0
    assert [card["action_payload"]["to"] for card in await company.cards()] == ["ada@widgets.test"]
    assert await conn.fetchval("select reason from reactor.history where outcome = 'discarded'") == (
        f"clock {gone} is gone"
    )


async def test_a_dry_run_records_what_would_have_been_sent_and_touches_nothing(conn, database_url):
    company = await Company.found(conn, email_mode="dry_run")
    clock = await company.overdue(contact=await company.contact("ada@widgets.test"), days=30)

    await drain(automations(), database_url)

    [intent] = await company.intents()
    assert (intent["status"], intent["tone"]) == ("dry_run", "urgent")
    assert await company.cards() == []
    assert (await company.run_totals())["emails_sent"] == 0
    assert not await conn.fetchval("select is_compliant from engagement_clocks where id = $1", clock)


async def test_nothing_happens_while_the_tenant_is_off_and_it_goes_on_when_it_is_on(conn, database_url):
    company = await Company.found(conn, enabled=False)
    await company.overdue(contact=await company.contact("ada@widgets.test"))

    left = await drain(automations(), database_url)
    assert await company.cards() == []
    assert left.parked == 1

    async with running(automations(), database_url):
        await conn.execute("update tenants set agent_enabled = true")
        await until(company.cards)


async def test_broken_settings_stop_their_tenant_only_and_are_said_once(conn, database_url):
    broken = await Company.found(conn, email_mode="shout", max_emails_per_hour=-1)
    sound = await Company.found(conn)
    for company in (broken, sound):
        await company.overdue(contact=await company.contact("ada@widgets.test"))
        await company.overdue(contact=await company.contact("bob@widgets.test"))

    left = await drain(automations(), database_url)

    assert len(await sound.cards()) == 2
    assert await sound.alerts() == []
    assert await broken.cards() == []
    assert left.dead == 0
    [alert] = await broken.alerts()
    assert (alert["alert_type"], alert["severity"]) == ("settings_invalid", "critical")
    assert "email_mode" in alert["message"]
    assert "max_emails_per_hour" in alert["message"]
    events = await broken.waiting("engagement.overdue")
    assert [event["attempts"] for event in events] == [0, 0]

    await broken.configure()
    await conn.execute("update reactor.events set available_at = null")
    await drain(automations(), database_url)
    assert len(await broken.cards()) == 2


async def test_a_tenants_own_template_and_tone_by_days(conn, database_url):
    company = await Company.found(
        conn,
        templates={
            "urgent": {
                "subject": "Hey {{ first_name }}",
                "text": "{{ days_overdue }} days, {{ tenant_name }}",
            }
        },
    )
    await company.overdue(contact=await company.contact("a@widgets.test"), days=21)
    await company.overdue(contact=await company.contact("b@widgets.test"), days=13)

    await drain(automations(), database_url)

    by_address = {card["action_payload"]["to"]: card["action_payload"] for card in await company.cards()}
    assert by_address["a@widgets.test"]["subject"] == "Hey Ada"
    assert by_address["a@widgets.test"]["text"] == "21 days, Acme"
    assert by_address["b@widgets.test"]["tone"] == "friendly"


async def test_scores_of_overdue_clocks_follow_the_days_and_fall_to_zero_after_a_touch(conn, database_url):
    company = await Company.found(conn, allowed_action_types=[])
    client = await company.client()
    contact = await company.contact("a@widgets.test", client=client, title="Head of Sales", primary=True)
    await company.overdue(contact=contact, days=30)
    await company.overdue(client=client, days=3)
    plain = await company.contact("b@widgets.test")
    await company.overdue(contact=plain, days=4)

    async def score() -> list[float]:
        await conn.execute("select reactor.emit($1, 'engagement.score')", company.tenant_id)
        await drain(automations(), database_url)
        rows = await conn.fetch(
            "select priority_score::float8 as score from engagement_clocks order by score desc"
        )
        return [row["score"] for row in rows]

    assert await score() == [50 + 20 + 10, 6 + 20 + 10, 8]
    changed = await conn.fetchval("select max(updated_at) from engagement_clocks")
    await score()
    assert await conn.fetchval("select max(updated_at) from engagement_clocks") == changed

    await conn.execute("select update_engagement_clock($1, null, $2, 'call', null)", company.tenant_id, plain)
    assert await score() == [50 + 20 + 10, 6 + 20 + 10, 0]
