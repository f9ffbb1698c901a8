"""An email leaves the house once, whatever breaks on the way: real engine, real SMTP and HTTP servers."""

import asyncio
import os
import sys
from datetime import timedelta
from email.errors import InvalidHeaderDefect
from itertools import pairwise

import pytest

from reactor.automation import resources
from reactor.outbound.circuit import Circuit
from reactor.outbound.email import Email
from reactor.outbound.mailer import make_mailer
from reactor.testing import DatabaseClock, drain, running, settled
from tests.automation.company import Company, automations, until
from tests.automation.providers import Postbox, answer, free_port, http_receiver, smtp_server


@pytest.fixture
async def postbox():
    return Postbox()


@pytest.fixture
async def smtp(postbox):
    async with smtp_server(postbox) as port:
        yield {"email_url": f"smtp://127.0.0.1:{port}", "email_from": "Acme <hello@acme.test>"}


@pytest.fixture
async def resend():
    async with http_receiver() as receiver:
        receiver.settings = {
            "email_url": f"resend://KEY@127.0.0.1:{receiver.port}?scheme=http",
            "email_from": "Acme <hello@acme.test>",
        }
        yield receiver


async def test_an_overdue_contact_gets_an_email_and_its_clock_is_compliant_again(
    conn, database_url, smtp, postbox
):
    company = await Company.found(conn, email_mode="send", email_reply_to="team@acme.test")
    clock = await company.overdue(contact=await company.contact("ada@widgets.test"))

    await drain(automations(), database_url, **smtp)

    [intent] = await company.intents()
    assert intent["status"] == "sent"
    [message] = postbox.messages
    assert message["To"] == "Ada Lovelace <ada@widgets.test>"
    assert message["From"] == "Acme <hello@acme.test>"
    assert message["Reply-To"] == "team@acme.test"
    assert message["Message-ID"] == f"<{intent['id']}@acme.test>"
    assert message["List-Unsubscribe"] == "<mailto:hello@acme.test?subject=unsubscribe>"
    assert message.get_content_type() == "text/plain"
    row = await conn.fetchrow("select * from engagement_clocks where id = $1", clock)
    assert (row["is_compliant"], row["last_touch_type"], row["last_touch_by"]) == (True, "email", None)
    assert await company.cards() == []
    assert await company.run_totals() == {
        "planned": 1,
        "executed": 1,
        "blocked": 0,
        "emails_sent": 1,
        "cards": 0,
    }


async def test_beyond_the_hourly_limit_emails_wait_for_their_windows_and_each_goes_once(
    conn, database_url, smtp, postbox
):
    company = await Company.found(conn, email_mode="send", max_emails_per_hour=4)
    await company.overdue_contacts(11)
    clock = DatabaseClock(conn)
    await clock.stop()

    await drain(automations(), database_url, **smtp)
    assert len(postbox.messages) == 4
    violations = await company.violations()
    assert [v["violation_type"] for v in violations] == ["rate_limit"] * 7
    assert all(v["blocked"] and v["action_type"] == "email_send" for v in violations)
    assert (await company.run_totals())["blocked"] == 7

    for total in (8, 11):
        # All are tried, also those whose window is not open yet.
        await drain_later(conn, database_url, timedelta(hours=1), smtp, clock)
        assert len(postbox.messages) == total

    assert len(set(postbox.recipients)) == 11
    assert len(await company.violations()) == 7
    assert await company.waiting("email.send") == []
    assert await conn.fetchval("select count(*) from reactor.dead_events") == 0


async def drain_later(conn, database_url, after, settings, clock=None):
    """Drain when so much time has passed. Twice: a new day's partition may get in the first one's way."""
    await (clock or DatabaseClock(conn)).advance(after)
    for _ in range(2):
        await conn.execute("update reactor.events set available_at = null")
        left = await drain(automations(), database_url, **settings)
    return left


async def test_the_daily_limit_moves_the_rest_to_the_next_days(conn, database_url, smtp, postbox):
    company = await Company.found(conn, email_mode="send", max_emails_per_hour=10, max_emails_per_day=3)
    await company.overdue_contacts(7)

    await drain(automations(), database_url, **smtp)

    assert len(postbox.messages) == 3
    days = await conn.fetch(
        "select date_trunc('day', window_start, 'UTC') as day, sum(action_count) as n from agent_rate_limits "
        "where action_type = 'email_send' group by 1 order by 1"
    )
    assert [row["n"] for row in days] == [3, 3, 1]
    assert [b["day"] - a["day"] for a, b in pairwise(days)] == [timedelta(days=1)] * 2


async def test_emails_that_missed_their_hour_do_not_burst_into_another(conn, database_url, smtp, postbox):
    company = await Company.found(conn, email_mode="send", max_emails_per_hour=2)
    await company.overdue_contacts(8)
    await drain(automations(), database_url, **smtp)
    assert len(postbox.messages) == 2

    # Switched off over all the hours that were reserved, then on again.
    await conn.execute("update tenants set agent_enabled = false")
    await DatabaseClock(conn).advance(timedelta(hours=6))
    await conn.execute("update tenants set agent_enabled = true")
    await drain_later(conn, database_url, timedelta(hours=6), smtp)

    assert len(postbox.messages) == 4


async def test_a_limit_of_zero_sends_nothing_and_loses_nothing(conn, database_url, smtp, postbox):
    company = await Company.found(conn, email_mode="send", max_emails_per_hour=0)
    await company.overdue_contacts(2)

    await drain(automations(), database_url, **smtp)

    assert postbox.messages == []
    assert len(await company.violations()) == 2
    assert len(await company.waiting("email.send")) == 2


async def test_who_was_touched_while_the_email_waited_gets_none(conn, database_url, smtp, postbox):
    company = await Company.found(conn, email_mode="send", max_emails_per_hour=1)
    await company.overdue_contacts(2)
    await drain(automations(), database_url, **smtp)
    [waiting] = [intent for intent in await company.intents() if intent["status"] == "queued"]
    await conn.execute(
        "select update_engagement_clock($1, null, $2, 'call', null)", company.tenant_id, waiting["contact_id"]
    )

    await drain_later(conn, database_url, timedelta(hours=1), smtp)

    assert len(postbox.messages) == 1
    assert sorted(intent["status"] for intent in await company.intents()) == ["cancelled", "sent"]


@pytest.mark.parametrize("by", ["contact", "address"])
async def test_who_was_suppressed_while_the_email_waited_gets_none(conn, database_url, smtp, postbox, by):
    company = await Company.found(conn, email_mode="send", max_emails_per_hour=1)
    await company.overdue_contacts(2)
    await drain(automations(), database_url, **smtp)
    [waiting] = [intent for intent in await company.intents() if intent["status"] == "queued"]
    await conn.execute(
        "insert into email_suppressions (tenant_id, contact_id, email, reason) "
        "values ($1, $2, $3, 'unsubscribe')",
        company.tenant_id,
        waiting["contact_id"] if by == "contact" else None,
        waiting["recipient"].upper() if by == "address" else None,
    )

    await drain_later(conn, database_url, timedelta(hours=1), smtp)

    assert len(postbox.messages) == 1
    assert sorted(intent["status"] for intent in await company.intents()) == ["blocked", "sent"]
    assert [v["violation_type"] for v in await company.violations()] == ["rate_limit", "suppression"]


UNSEEN = ["{}\n", "{}\r", "\t{}", "{}\u00a0", "\ufeff{}", " {}\r\n"]


@pytest.mark.parametrize("spelling", UNSEEN)
async def test_a_suppressed_address_is_one_whatever_surrounds_it(conn, database_url, smtp, postbox, spelling):
    company = await Company.found(conn, email_mode="send")
    await company.overdue(contact=await company.contact("ada@widgets.test"))
    await conn.execute(
        "insert into email_suppressions (tenant_id, email, reason) values ($1, $2, 'unsubscribe')",
        company.tenant_id,
        spelling.format("Ada@widgets.test"),
    )

    await drain(automations(), database_url, **smtp)

    assert postbox.messages == []
    assert [v["violation_type"] for v in await company.violations()] == ["suppression"]


@pytest.mark.parametrize("spelling", UNSEEN)
async def test_a_contact_is_written_to_once_whatever_surrounds_its_address(
    conn, database_url, smtp, postbox, spelling
):
    company = await Company.found(conn, email_mode="send")
    await company.overdue(contact=await company.contact(spelling.format("ada@widgets.test")))

    left = await drain(automations(), database_url, **smtp)

    assert postbox.recipients == ["ada@widgets.test"]
    assert [intent["status"] for intent in await company.intents()] == ["sent"]
    assert left.dead == 0


async def test_when_the_mode_changed_meanwhile_the_email_becomes_a_proposal(
    conn, database_url, smtp, postbox
):
    company = await Company.found(conn, email_mode="send", max_emails_per_hour=1)
    await company.overdue_contacts(2)
    await drain(automations(), database_url, **smtp)
    await company.configure(email_mode="suggest")

    await drain_later(conn, database_url, timedelta(hours=1), smtp)

    assert len(postbox.messages) == 1
    assert [card["type"] for card in await company.cards()] == ["send_email"]


async def test_an_address_that_the_server_refuses_becomes_a_task_and_is_not_tried_again(
    conn, database_url, smtp, postbox
):
    company = await Company.found(conn, email_mode="send")
    postbox.rcpt["gone@widgets.test"] = "550 5.1.1 no such user"
    await company.overdue(contact=await company.contact("gone@widgets.test"))
    await company.overdue(contact=await company.contact("ada@widgets.test"))

    left = await drain(automations(), database_url, **smtp)

    assert postbox.recipients == ["ada@widgets.test"]
    assert (left.delayed, left.dead) == (0, 0)
    [failure] = await company.rows("email_provider_failures")
    assert (failure["error_type"], failure["provider"]) == ("refused", "smtp")
    [card] = await company.cards()
    assert (card["type"], card["priority"]) == ("create_task", "high")
    assert {intent["status"] for intent in await company.intents()} == {"sent", "failed"}


async def test_a_server_that_is_down_fails_the_try_and_the_email_goes_out_later(conn, database_url, postbox):
    company = await Company.found(conn, email_mode="send")
    await company.overdue(contact=await company.contact("ada@widgets.test"))
    await DatabaseClock(conn).stop()
    port = free_port()

    await drain(automations(), database_url, email_url=f"smtp://127.0.0.1:{port}")
    [event] = await company.waiting("email.send")
    assert event["attempts"] == 1
    [failure] = await company.rows("email_provider_failures")
    assert failure["error_type"] == "refused"

    async with smtp_server(postbox) as port:
        await conn.execute("update reactor.events set available_at = null")
        await drain(automations(), database_url, email_url=f"smtp://127.0.0.1:{port}")
    assert postbox.recipients == ["ada@widgets.test"]


async def test_five_failures_in_a_quarter_of_an_hour_raise_one_critical_alert(
    conn, database_url, smtp, postbox
):
    company = await Company.found(conn, email_mode="send")
    for n in range(7):
        postbox.data[f"p{n}@people.test"] = "451 4.3.0 try again"
        await company.overdue(contact=await company.contact(f"p{n}@people.test"))

    for _ in range(2):
        await drain(automations(), database_url, **smtp)
        await conn.execute("update reactor.events set available_at = null")

    failures = await company.rows("email_provider_failures")
    assert {failure["error_type"] for failure in failures} == {"5xx"}
    assert len(failures) >= 5
    [alert] = await company.alerts()
    assert (alert["alert_type"], alert["severity"]) == ("provider_failure", "critical")


async def test_a_provider_that_is_down_is_told_although_each_tenant_had_one_failure(conn, database_url):
    companies = [await Company.found(conn, email_mode="send") for _ in range(5)]
    for company in companies:
        await company.overdue_contacts(1)
    settings = {"email_url": f"smtp://127.0.0.1:{free_port()}"}

    await drain(automations(), database_url, **settings)

    failures = [len(await company.rows("email_provider_failures")) for company in companies]
    assert failures == [1] * 5
    [alert] = [alert for company in companies for alert in await company.alerts("provider_failure")]
    assert (alert["severity"], alert["metadata"]["not_via"]) == ("critical", ["email"])


async def test_the_circuit_opens_and_what_waits_for_it_keeps_its_tries(conn, database_url, smtp, postbox):
    company = await Company.found(conn, email_mode="send")
    for n in range(9):
        postbox.data[f"p{n}@people.test"] = "451 4.3.0 try again"
        await company.overdue(contact=await company.contact(f"p{n}@people.test"))
    await DatabaseClock(conn).stop()

    await drain(automations(), database_url, **smtp)

    attempts = sorted(event["attempts"] for event in await company.waiting("email.send"))
    assert attempts == [0] * 4 + [1] * 5
    assert len(await company.rows("email_provider_failures")) == 5


async def test_a_probe_that_never_reached_the_provider_leaves_the_next_email_to_find_out(
    conn, database_url, smtp, postbox, monkeypatch
):
    """When the circuit's pause is over one email probes, and the others wait for what comes of that."""

    def impatient(url, sender):
        mailer = make_mailer(url, sender)
        mailer.circuit = Circuit(threshold=1, first_pause=timedelta(milliseconds=50))
        return mailer

    monkeypatch.setattr(resources, "make_mailer", impatient)
    company = await Company.found(conn, email_mode="send")
    postbox.data["full@people.test"] = "451 4.3.0 try again"
    await company.overdue(contact=await company.contact("full@people.test"))
    async with running(automations(), database_url, **smtp):
        await until(lambda: conn.fetchval("select count(*) = 1 from public.email_provider_failures"))
        await conn.execute(
            """
            create function public.refuse() returns trigger language plpgsql as $$
            begin
                raise exception 'not now';
            end $$;
            create trigger refuse before update on reactor.email_intents for each row
            when (new.status = 'sending') execute function public.refuse();
            """
        )
        await company.overdue(contact=await company.contact("ada@people.test"))
        refused = "select exists (select from reactor.events where errors::text like '%not now%')"
        await until(lambda: conn.fetchval(refused))
        postbox.data.clear()
        await conn.execute("drop trigger refuse on reactor.email_intents")
        sent = "select count(*) = 2 from reactor.email_intents where status = 'sent'"
        await until(lambda: conn.fetchval(sent), within=30)
    assert sorted(postbox.recipients) == ["ada@people.test", "full@people.test"]


async def test_smtp_that_breaks_after_the_data_is_never_repeated_in_silence(
    conn, database_url, smtp, postbox
):
    company = await Company.found(conn, email_mode="send")
    postbox.hang_up_after_data = True
    await company.overdue(contact=await company.contact("ada@widgets.test"))

    left = await drain(automations(), database_url, **smtp)

    assert len(postbox.messages) == 1
    assert (left.delayed, left.dead) == (0, 0)
    [intent] = await company.intents()
    assert intent["status"] == "unknown"
    [card] = await company.cards()
    assert card["title"] == "Did our email reach ada@widgets.test?"
    assert [alert["alert_type"] for alert in await company.alerts()] == ["email_unknown"]


async def make_interrupted(company, database_url, settings):
    """An email whose sender died between the commit of 'sending' and the acknowledgement."""
    await company.overdue(contact=await company.contact("ada@widgets.test"))
    app = automations()
    await drain(app, database_url, **settings)
    [intent] = await company.intents()
    await company.db.execute(
        "update reactor.email_intents set status = 'sending', sending_at = reactor.now(), settled_at = null"
    )
    await company.db.execute("update engagement_clocks set next_touch_due = now() - interval '1 day'")
    await company.db.execute("delete from reactor.events")
    await company.db.execute(
        "select reactor.emit($1, 'email.send', subject_id => $2)", company.tenant_id, intent["id"]
    )
    return intent


async def test_an_interrupted_smtp_email_is_a_question_for_a_person(conn, database_url, smtp, postbox):
    company = await Company.found(conn, email_mode="send")
    intent = await make_interrupted(company, database_url, smtp)
    assert len(postbox.messages) == 1

    await drain(automations(), database_url, **smtp)

    assert len(postbox.messages) == 1
    [after] = await company.intents()
    assert (after["id"], after["status"]) == (intent["id"], "unknown")
    assert [card["action_payload"]["intent_id"] for card in await company.cards()] == [str(intent["id"])]
    assert len(await company.alerts("email_unknown")) == 1


async def test_an_interrupted_email_to_somebody_deleted_meanwhile_is_a_question_all_the_same(
    conn, database_url, smtp
):
    company = await Company.found(conn, email_mode="send")
    client = await company.client()
    await make_interrupted(company, database_url, smtp)
    await conn.execute("update reactor.email_intents set client_id = $1", client)
    await conn.execute("update contacts set client_id = $1", client)
    await conn.execute("delete from clients where id = $1", client)

    left = await drain(automations(), database_url, **smtp)

    assert (left.delayed, left.dead) == (0, 0)
    assert [after["status"] for after in await company.intents()] == ["unknown"]
    [card] = await company.cards()
    assert (card["client_id"], card["contact_id"]) == (None, None)


async def test_an_interrupted_resend_email_is_repeated_with_the_same_key_and_the_same_body(
    conn, database_url, resend
):
    company = await Company.found(conn, email_mode="send")
    intent = await make_interrupted(company, database_url, resend.settings)

    await drain(automations(), database_url, **resend.settings)

    first, second = resend.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == str(intent["id"])
    assert first.body == second.body
    assert first.headers["authorization"] == "Bearer KEY"
    assert [after["status"] for after in await company.intents()] == ["sent"]
    assert await company.cards() == []


async def test_a_key_that_the_provider_may_have_forgotten_is_not_relied_upon(conn, database_url, resend):
    company = await Company.found(conn, email_mode="send")
    await make_interrupted(company, database_url, resend.settings)
    await drain_later(conn, database_url, timedelta(hours=24), resend.settings)

    assert len(resend.requests) == 1
    assert [after["status"] for after in await company.intents()] == ["unknown"]


@pytest.mark.parametrize(
    ("status", "body", "then"),
    [
        (401, b"bad key", "sending"),
        (429, b"slow down", "sending"),
        (409, b"concurrent", "sending"),
        (422, b"invalid to", "unknown"),
    ],
)
async def test_what_an_earlier_try_may_have_sent_is_never_called_unsent(
    conn, database_url, resend, status, body, then
):
    """What the provider answers to the repetition says nothing about the first try."""
    company = await Company.found(conn, email_mode="send")
    await make_interrupted(company, database_url, resend.settings)

    async def respond(request):
        return answer(status, body)

    resend.respond = respond
    await drain(automations(), database_url, **resend.settings)

    assert len(resend.requests) == 2
    assert [after["status"] for after in await company.intents()] == [then]
    assert len(await company.cards()) == (then == "unknown")
    # Nor is it repeated when the provider has forgotten the key.
    resend.respond = None
    await drain_later(conn, database_url, timedelta(hours=24), resend.settings)
    assert len(resend.requests) == 2
    assert [after["status"] for after in await company.intents()] == ["unknown"]


async def test_a_key_means_nothing_to_another_provider_than_the_first(conn, database_url, smtp, resend):
    company = await Company.found(conn, email_mode="send")
    await make_interrupted(company, database_url, smtp)

    await drain(automations(), database_url, **resend.settings)

    assert resend.requests == []
    assert [after["status"] for after in await company.intents()] == ["unknown"]


async def test_a_replica_killed_while_resend_answers_leads_to_one_email_with_one_key(
    conn, database_url, resend
):
    company = await Company.found(conn, email_mode="send")
    reached = asyncio.Event()

    async def never(request):
        reached.set()
        await asyncio.Event().wait()

    resend.respond = never
    await company.overdue(contact=await company.contact("ada@widgets.test"))
    replica = asyncio.create_task(drain(automations(), database_url, **resend.settings))
    await reached.wait()
    assert await conn.fetchval("select status from reactor.email_intents") == "sending"
    replica.cancel()
    await asyncio.gather(replica, return_exceptions=True)

    resend.respond = None
    await conn.execute("delete from agent_tenant_locks")
    await conn.execute("update reactor.events set available_at = null")
    await drain(automations(), database_url, **resend.settings)

    assert {request.headers["idempotency-key"] for request in resend.requests} == {
        str((await company.intents())[0]["id"])
    }
    assert [after["status"] for after in await company.intents()] == ["sent"]


async def test_wrong_credentials_open_the_circuit_and_tell_at_once_but_lose_no_email(
    conn, database_url, resend
):
    company = await Company.found(conn, email_mode="send")
    await company.overdue_contacts(3)

    async def refuse(request):
        return answer(401, b'{"message": "API key is invalid"}')

    resend.respond = refuse
    await drain(automations(), database_url, **resend.settings)

    assert len(resend.requests) == 1
    [failure] = await company.rows("email_provider_failures")
    assert failure["error_type"] == "auth"
    [alert] = await company.alerts()
    assert (alert["alert_type"], alert["severity"]) == ("provider_failure", "critical")
    events = await company.waiting("email.send")
    assert [event["attempts"] for event in events] == [0, 0, 0]
    assert min(event["wait"] for event in events) > timedelta(minutes=10)
    assert {intent["status"] for intent in await company.intents()} == {"queued"}


async def test_retry_after_is_honoured_and_costs_no_try(conn, database_url, resend):
    company = await Company.found(conn, email_mode="send")
    await company.overdue_contacts(1)

    async def too_many(request):
        return answer(429, b"slow down", Retry_After="600")

    resend.respond = too_many
    await drain(automations(), database_url, **resend.settings)

    [event] = await company.waiting("email.send")
    assert event["attempts"] == 0
    assert timedelta(minutes=9) < event["wait"] <= timedelta(minutes=10)
    assert [f["error_type"] for f in await company.rows("email_provider_failures")] == ["rate_limit"]


async def test_a_message_the_provider_will_never_take_is_given_up(conn, database_url, resend):
    company = await Company.found(conn, email_mode="send")
    await company.overdue_contacts(1)

    async def invalid(request):
        return answer(422, b'{"message": "invalid to"}')

    resend.respond = invalid
    left = await drain(automations(), database_url, **resend.settings)

    assert left.delayed == 0
    assert [intent["status"] for intent in await company.intents()] == ["failed"]
    assert [card["type"] for card in await company.cards()] == ["create_task"]


async def test_two_clocks_about_the_same_person_lead_to_one_email(conn, database_url, smtp, postbox):
    company = await Company.found(conn, email_mode="send")
    client = await company.client()
    contact = await company.contact("ada@widgets.test", client=client, primary=True)
    await company.overdue(client=client, days=3)
    await company.overdue(contact=contact, days=2)

    await drain(automations(), database_url, **smtp)
    left = await drain_later(conn, database_url, timedelta(hours=1, minutes=1), smtp)

    assert len(postbox.messages) == 1
    assert left.delayed == 0
    assert await conn.fetchval("select count(*) from engagement_clocks where not is_compliant") == 0


async def test_a_changed_suppression_table_fails_closed(conn, database_url, smtp, postbox):
    company = await Company.found(conn, email_mode="send")
    await company.overdue(contact=await company.contact("ada@widgets.test"))
    await company.overdue(contact=await company.contact(None))
    await conn.execute("alter table email_suppressions rename column email to address")
    await DatabaseClock(conn).stop()

    await drain(automations(), database_url, **smtp)

    assert postbox.messages == []
    assert [card["type"] for card in await company.cards()] == ["create_task"]
    assert [v["violation_type"] for v in await company.violations()] == ["suppression"]
    [event] = await company.waiting("engagement.overdue")
    assert event["attempts"] == 1

    await conn.execute("alter table email_suppressions rename column address to email")
    await conn.execute("update reactor.events set available_at = null")
    await drain(automations(), database_url, **smtp)
    assert postbox.recipients == ["ada@widgets.test"]


@pytest.mark.slow
async def test_a_process_killed_while_smtp_holds_the_message_leads_to_a_question_not_to_a_second_email(
    conn, database_url, smtp, postbox
):
    company = await Company.found(conn, email_mode="send")
    await company.overdue(contact=await company.contact("ada@widgets.test"))
    postbox.hold_after_data = asyncio.Event()
    program = (
        "import asyncio; from reactor.settings import load; "
        "from tests.automation.company import automations; asyncio.run(automations().run(load()))"
    )
    environment = {
        **os.environ,
        "REACTOR_DATABASE_URL": database_url,
        "REACTOR_EMAIL_URL": smtp["email_url"],
        "REACTOR_LEASE_SECONDS": "2",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await until(lambda: arrived(postbox))
    finally:
        process.kill()
        await process.wait()

    async with running(automations(), database_url, lease_seconds=2, **smtp):
        await until(lambda: company.alerts("email_unknown"), within=30)
        await settled(conn)

    assert len(postbox.messages) == 1
    assert [intent["status"] for intent in await company.intents()] == ["unknown"]
    assert [card["title"] for card in await company.cards()] == ["Did our email reach ada@widgets.test?"]


async def arrived(postbox):
    return bool(postbox.messages)


async def test_an_address_with_a_dot_at_its_end_is_written_to(conn, database_url, smtp, postbox):
    company = await Company.found(conn, email_mode="send")
    await company.overdue(contact=await company.contact("abc.@widgets.test"))

    await drain(automations(), database_url, **smtp)

    assert [intent["status"] for intent in await company.intents()] == ["sent"]
    assert len(postbox.messages) == 1
    assert await company.cards() == []


async def test_of_a_message_that_cannot_be_written_a_person_is_told_that_it_was_not_sent(
    conn, database_url, smtp, postbox, monkeypatch
):
    def refuse(_email):
        raise InvalidHeaderDefect("local-part is not dot-atom")

    monkeypatch.setattr(Email, "_build", refuse)
    company = await Company.found(conn, email_mode="send")
    await company.overdue(contact=await company.contact("ada@widgets.test"))

    await drain(automations(), database_url, **smtp)

    [intent] = await company.intents()
    assert (intent["status"], intent["tries"]) == ("failed", 0)
    [card] = await company.cards()
    assert card["title"] == "Our email to ada@widgets.test was not accepted"
    assert [row["alert_type"] for row in await company.rows("agent_alerts")] == []
    assert postbox.messages == []


@pytest.mark.parametrize(
    ("refuses", "told"),
    [
        ("raise exception 'timestamp out of range' using errcode = '22008';", "timestamp out of range"),
        ("return null;", "left out without an error, by trigger refuse_touch"),
    ],
)
async def test_an_email_whose_clock_cannot_be_wound_up_is_sent_once_and_a_person_hears_of_the_clock(
    conn, database_url, smtp, postbox, refuses, told
):
    company = await Company.found(conn, email_mode="send")
    clock = await company.overdue(contact=await company.contact("ada@widgets.test"))
    await conn.execute(f"""
        create function refuse_touch() returns trigger language plpgsql as
            $$ begin {refuses} end $$;
        create trigger refuse_touch before update of last_touch_at on engagement_clocks
            for each row execute function refuse_touch()
    """)

    await drain(automations(), database_url, **smtp)

    assert len(postbox.messages) == 1
    assert [intent["status"] for intent in await company.intents()] == ["sent"]
    assert (await company.run_totals())["emails_sent"] == 1
    assert await conn.fetchval("select count(*) from reactor.dead_events") == 0
    [alert] = await company.rows("agent_alerts")
    assert (alert["alert_type"], alert["severity"]) == ("touch_refused", "warning")
    assert alert["metadata"]["clock_id"] == str(clock)
    assert alert["message"].endswith(told)


@pytest.mark.parametrize(
    "page",
    [
        answer(200, b"<!doctype html><title>Log in</title>", Content_Type="text/html; charset=utf-8"),
        answer(200, b"\n <html><body>It works!</body></html>"),
    ],
)
async def test_a_web_page_is_not_taken_for_a_provider_that_took_the_email(conn, database_url, resend, page):
    company = await Company.found(conn, email_mode="send")
    clock = await company.overdue(contact=await company.contact("ada@widgets.test"))

    async def gate(request):
        return page

    resend.respond = gate
    left = await drain(automations(), database_url, **resend.settings)

    assert (left.delayed, left.dead) == (1, 0)
    [intent] = await company.intents()
    assert intent["status"] == "queued"
    assert not await conn.fetchval("select is_compliant from engagement_clocks where id = $1", clock)
    [alert] = await company.alerts("provider_failure")
    assert "not that of an email API" in alert["message"]


@pytest.mark.parametrize("taken", [answer(200), answer(202, b""), answer(200, b'["queued"]')])
async def test_an_answer_without_an_id_says_all_the_same_that_the_email_was_taken(
    conn, database_url, resend, taken
):
    company = await Company.found(conn, email_mode="send")
    await company.overdue(contact=await company.contact("ada@widgets.test"))

    async def take(request):
        return taken

    resend.respond = take
    await drain(automations(), database_url, **resend.settings)
    [intent] = await company.intents()
    assert (intent["status"], intent["provider_message_id"] or "") == ("sent", "")
    assert len(resend.requests) == 1


async def test_a_contact_whose_address_has_letters_outside_of_ascii_is_to_be_called(conn, database_url, smtp):
    company = await Company.found(conn, email_mode="send")
    await company.overdue(contact=await company.contact("ada@bücher.test"))
    await drain(automations(), database_url, **smtp)
    assert await company.intents() == []
    [card] = await company.cards()
    assert card["type"] == "create_task"
    assert "ada@bücher.test is no address that we can write to: please call" in card["description"]
