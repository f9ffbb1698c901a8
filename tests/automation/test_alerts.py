"""Alerts reach their channels: real engine, real receivers on loopback, and channels that fail."""

import asyncio
import json
from datetime import timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from reactor.cli import entry
from reactor.testing import DatabaseClock, drain, running, settled
from tests.automation.company import Company, automations
from tests.automation.providers import Postbox, answer, http_receiver, smtp_server

OLD = "whsec_" + "b2xkIHNlY3JldCBvbGQgc2VjcmV0IG9sZA=="
NEW = "whsec_" + "bmV3IHNlY3JldCBuZXcgc2VjcmV0IG5ldw=="
PRIVATE = {"webhook_allow_private": True}


@pytest.fixture
async def receiver():
    async with http_receiver() as found:
        yield found


def hook(receiver, **more):
    return {"webhook_url": receiver.url, "webhook_secret": NEW, **more}


async def drain_now(conn, database_url, **settings):
    """Also what is delayed: as if its time had come."""
    await conn.execute("update reactor.events set available_at = null")
    return await drain(automations(), database_url, **PRIVATE, **settings)


async def wake(conn):
    """What is delayed runs now, in an app that is running."""
    await conn.execute("update reactor.events set available_at = null; select pg_notify('reactor', '')")
    await settled(conn)


async def deliveries(company):
    return await company.rows("reactor.alert_deliveries", "created_at, id")


async def test_an_alert_is_posted_signed_so_that_the_receivers_library_accepts_it(
    conn, database_url, receiver
):
    company = await Company.found(conn, alerts=hook(receiver, webhook_secret=[NEW, OLD]))
    alert = await company.alert("disk_full", "warning", disk="sda")

    await drain(automations(), database_url, **PRIVATE)

    [request] = receiver.requests
    for secret in (OLD, NEW):
        Webhook(secret).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "c29tZWJvZHkgZWxzZSdzIHNlY3JldA==").verify(request.body, request.headers)
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    body = request.json()
    assert body["type"] == "alert.created"
    assert body["data"]["alert_id"] == str(alert)
    assert body["data"]["tenant_name"] == "Acme"
    assert body["data"]["severity"] == "warning"
    assert body["data"]["metadata"] == {"disk": "sda"}
    assert [row["status"] for row in await deliveries(company)] == ["delivered"]


async def test_alerts_are_delivered_although_the_kill_switch_is_on(conn, database_url, receiver):
    company = await Company.found(conn, enabled=False, alerts=hook(receiver))
    await conn.execute(
        "update system_config set value = jsonb_set(value, '{global_enabled}', 'false') "
        "where key = 'agent_config'"
    )
    await company.alert()

    await drain(automations(), database_url, **PRIVATE)

    assert len(receiver.requests) == 1


async def test_private_addresses_are_refused_unless_the_operator_allows_them(conn, database_url, receiver):
    company = await Company.found(conn, alerts=hook(receiver))
    await company.alert()

    await drain(automations(), database_url)

    assert receiver.requests == []
    [failed] = [row for row in await deliveries(company) if row["channel"]]
    assert failed["status"] == "failed"
    [said] = await company.alerts("alert_channel_failed")
    assert said["metadata"]["not_via"] == [failed["channel"]]


async def test_the_same_alert_type_is_recorded_but_not_delivered_again_within_the_hour(
    conn, database_url, receiver
):
    company = await Company.found(conn, alerts=hook(receiver))
    other = await Company.found(conn, alerts=hook(receiver))
    for severity in ("warning", "warning"):
        await company.alert("disk_full", severity)
    await company.alert("other_type", "warning")
    await other.alert("disk_full", "warning")

    await drain(automations(), database_url, **PRIVATE)
    assert len(receiver.requests) == 3
    assert len(await company.alerts()) == 3
    assert sorted(row["status"] for row in await deliveries(company)) == ["delivered", "delivered", "quiet"]

    clock = DatabaseClock(conn)
    for minutes, total in ((59, 3), (2, 4)):
        await clock.advance(timedelta(minutes=minutes))
        await company.alert("disk_full", "warning")
        for _ in range(2):  # a new day's partition may get in the first one's way
            await drain_now(conn, database_url)
        assert len(receiver.requests) == total


async def test_a_tenant_may_choose_its_own_quiet_time(conn, database_url, receiver):
    company = await Company.found(conn, alerts=hook(receiver, dedup_minutes=0))
    for _ in range(2):
        await company.alert("disk_full", "warning")

    await drain(automations(), database_url, **PRIVATE)

    assert len(receiver.requests) == 2


async def test_alerts_below_the_minimum_severity_are_only_recorded(conn, database_url, receiver):
    company = await Company.found(conn, alerts=hook(receiver, min_severity="warning"))
    await company.alert("chatter", "info")
    await company.alert("trouble", "warning")

    await drain(automations(), database_url, **PRIVATE)

    assert [request.json()["data"]["alert_type"] for request in receiver.requests] == ["trouble"]
    assert sorted(row["status"] for row in await deliveries(company)) == ["delivered", "mild"]


async def test_an_unacknowledged_critical_alert_comes_again_after_15_minutes_then_hourly(
    conn, database_url, receiver
):
    company = await Company.found(conn, alerts=hook(receiver))
    alert = await company.alert()
    await drain(automations(), database_url, **PRIVATE)
    [waiting] = await company.waiting("alert.escalate")
    assert timedelta(minutes=14) < waiting["wait"] <= timedelta(minutes=15)

    for total in (2, 3, 4):
        await drain_now(conn, database_url)
        assert len(receiver.requests) == total
        [waiting] = await company.waiting("alert.escalate")
        assert timedelta(minutes=59) < waiting["wait"] <= timedelta(hours=1)
        assert waiting["attempts"] == 0
    assert [request.json()["data"]["repetition"] for request in receiver.requests] == [0, 1, 2, 3]
    types = [request.json()["type"] for request in receiver.requests]
    assert types == ["alert.created", "alert.repeated", "alert.repeated", "alert.repeated"]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 4

    await conn.execute("update agent_alerts set acknowledged = true where id = $1", alert)
    left = await drain_now(conn, database_url)
    assert len(receiver.requests) == 4
    assert (left.delayed, left.dead) == (0, 0)


async def test_acknowledging_by_command_ends_the_repetitions(conn, database_url, receiver, monkeypatch):
    company = await Company.found(conn, alerts=hook(receiver))
    alert = await company.alert()
    await drain(automations(), database_url, **PRIVATE)
    await drain_now(conn, database_url)
    assert len(receiver.requests) == 2

    monkeypatch.setenv("REACTOR_DATABASE_URL", database_url)
    assert await asyncio.to_thread(entry.run, ["alerts", "ack", str(alert)]) == 0

    left = await drain_now(conn, database_url)
    assert len(receiver.requests) == 2
    assert (left.delayed, left.dead) == (0, 0)


async def test_it_goes_on_for_longer_than_a_chain_of_events_may_be(conn, database_url, receiver):
    company = await Company.found(conn, alerts=hook(receiver))
    await company.alert()
    async with running(automations(), database_url, **PRIVATE):
        await settled(conn)
        for _ in range(18):
            await wake(conn)
    assert len(receiver.requests) == 19
    assert await conn.fetchval("select count(*) from reactor.dead_events") == 0


async def test_the_oldest_of_several_open_critical_alerts_speaks_for_them_all(conn, database_url, receiver):
    company = await Company.found(conn, alerts=hook(receiver))
    oldest = await company.alert()
    await company.alert()
    await drain(automations(), database_url, **PRIVATE)

    await drain_now(conn, database_url)
    assert [request.json()["data"]["alert_id"] for request in receiver.requests] == [str(oldest)] * 2

    await conn.execute("update agent_alerts set acknowledged = true where id = $1", oldest)
    await drain_now(conn, database_url)
    assert len(receiver.requests) == 3  # now the second one is the oldest


@pytest.mark.parametrize("how", ["there before", "about a delivery", "given up"])
async def test_an_older_alert_that_is_not_repeated_itself_speaks_for_nobody(
    conn, database_url, receiver, how
):
    company = await Company.found(conn, alerts=hook(receiver))
    if how == "there before":
        await conn.execute("alter table agent_alerts disable trigger user")
    # The death of a delivery is never delivered.
    silent = await company.alert(**{"event_type": "alert.deliver"} if how == "about a delivery" else {})
    await conn.execute("alter table agent_alerts enable trigger user")
    await drain(automations(), database_url, **PRIVATE)
    if how == "given up":
        await conn.execute("delete from reactor.events where event_type = 'alert.escalate'")
    await company.configure(alerts=hook(receiver, dedup_minutes=0))
    receiver.requests.clear()

    alert = await company.alert()
    await drain(automations(), database_url, **PRIVATE)
    for _ in range(3):
        await drain_now(conn, database_url)

    told = [request.json()["data"] for request in receiver.requests]
    assert [(each["alert_id"], each["repetition"]) for each in told] == [(str(alert), n) for n in range(4)]
    if how == "about a delivery":
        assert [d["step"] for d in await deliveries(company) if d["alert_id"] == silent] == [0]


async def test_channels_that_are_missing_for_a_while_do_not_end_the_repetitions(conn, database_url, receiver):
    company = await Company.found(conn, alerts=hook(receiver))
    alert = await company.alert()
    await drain(automations(), database_url, **PRIVATE)
    await company.configure()
    await drain_now(conn, database_url)
    [waiting] = await company.waiting("alert.escalate")
    assert (waiting["attempts"], len(receiver.requests)) == (0, 1)
    assert timedelta(minutes=59) < waiting["wait"] <= timedelta(hours=1)

    await company.configure(alerts=hook(receiver))
    await drain_now(conn, database_url)
    assert [request.json()["data"]["repetition"] for request in receiver.requests] == [0, 1]

    await company.configure()
    await conn.execute("update agent_alerts set acknowledged = true where id = $1", alert)
    await drain_now(conn, database_url)
    assert await company.waiting("alert.escalate") == []


async def test_warnings_are_not_repeated(conn, database_url, receiver):
    company = await Company.found(conn, alerts=hook(receiver))
    await company.alert("disk_full", "warning")
    await drain(automations(), database_url, **PRIVATE)
    assert await company.waiting("alert.escalate") == []


async def test_a_receiver_that_fails_is_tried_again_with_the_same_id_and_retry_after_counts(
    conn, database_url, receiver
):
    company = await Company.found(conn, alerts=hook(receiver))
    await company.alert("disk_full", "warning")

    async def busy(request):
        return answer(503, b"", Retry_After="120")

    receiver.respond = busy
    await drain(automations(), database_url, **PRIVATE)
    [waiting] = await company.waiting("alert.deliver")
    assert timedelta(seconds=110) < waiting["wait"] <= timedelta(seconds=120)

    receiver.respond = None
    await drain_now(conn, database_url)
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    [row] = await deliveries(company)
    assert (row["status"], row["tries"]) == ("delivered", 2)


async def test_a_channel_that_keeps_failing_is_given_up_and_said_elsewhere(conn, database_url, receiver):
    postbox = Postbox()
    async with smtp_server(postbox) as port:
        smtp = {"email_url": f"smtp://127.0.0.1:{port}"}
        company = await Company.found(conn, alerts=hook(receiver, emails=["ops@acme.test"]))
        await company.alert("disk_full", "warning")

        async def broken(request):
            return answer(500)

        receiver.respond = broken
        async with running(automations(), database_url, **PRIVATE, **smtp):
            await settled(conn)
            for _ in range(12):
                await wake(conn)

    assert len(receiver.requests) == 9
    assert await conn.fetchval("select count(*) from reactor.events") == 0
    assert await conn.fetchval("select count(*) from reactor.dead_events") == 0
    subjects = [message["Subject"] for message in postbox.messages]
    assert len(subjects) == 2
    assert "disk" in subjects[0]
    assert "Alerts do not reach webhook:" in subjects[1]
    assert len(await company.alerts("alert_channel_failed")) == 1


async def test_410_switches_the_channel_off_until_somebody_switches_it_on(conn, database_url, receiver):
    company = await Company.found(conn, alerts=hook(receiver))

    async def gone(request):
        return answer(410)

    receiver.respond = gone
    await company.alert("disk_full", "warning")
    await drain(automations(), database_url, **PRIVATE)
    [said] = await company.alerts("alert_channel_off")
    await company.alert("another", "warning")
    await drain(automations(), database_url, **PRIVATE)
    assert len(receiver.requests) == 1

    receiver.respond = None
    channel = said["metadata"]["channel"]
    assert await conn.fetchval("select reactor.enable_alert_channel($1, $2)", company.tenant_id, channel)
    await company.alert("third", "warning")
    await drain(automations(), database_url, **PRIVATE)
    # What came while it was off is told as well.
    told = [request.json()["data"]["alert_type"] for request in receiver.requests]
    assert sorted(told) == ["another", "disk_full", "third"]


async def test_what_was_to_be_delivered_when_its_channel_was_switched_off_is_not(
    conn, database_url, receiver
):
    company = await Company.found(conn, alerts=hook(receiver))

    async def busy(request):
        return answer(503)

    receiver.respond = busy
    await company.alert("disk_full", "warning")
    await drain(automations(), database_url, **PRIVATE)
    await conn.execute(
        "insert into reactor.alert_channels_off (tenant_id, channel, reason) "
        "select tenant_id, channel, 'it answered 410' from reactor.alert_deliveries"
    )
    receiver.respond = None
    left = await drain_now(conn, database_url)
    assert len(receiver.requests) == 1
    assert (left.delayed, left.dead) == (0, 0)
    [row] = await deliveries(company)
    assert row["status"] == "off"


async def test_two_channels_that_both_fail_do_not_report_each_other_in_circles(conn, database_url, receiver):
    company = await Company.found(conn, alerts=hook(receiver, emails=["ops@acme.test"], dedup_minutes=0))

    async def gone(request):
        return answer(410)

    receiver.respond = gone
    postbox = Postbox()
    postbox.rcpt["ops@acme.test"] = "550 5.1.1 no such user"
    async with smtp_server(postbox) as port:
        await company.alert("disk_full", "warning")
        left = await drain(automations(), database_url, **PRIVATE, email_url=f"smtp://127.0.0.1:{port}")

    assert (left.delayed, left.dead) == (0, 0)
    assert len(await company.alerts()) <= 4
    assert len(receiver.requests) <= 2


async def test_a_provider_failure_is_not_told_by_email(conn, database_url, receiver):
    postbox = Postbox()
    async with smtp_server(postbox) as port:
        company = await Company.found(conn, alerts=hook(receiver, emails=["ops@acme.test"]))
        await conn.execute(
            "select reactor.record_email_failure($1, 'auth', '535 no', 'smtp', true)", company.tenant_id
        )
        await drain(automations(), database_url, **PRIVATE, email_url=f"smtp://127.0.0.1:{port}")

    assert [request.json()["data"]["alert_type"] for request in receiver.requests] == ["provider_failure"]
    assert postbox.messages == []


async def test_the_death_of_a_delivery_is_not_delivered(conn, database_url, receiver):
    company = await Company.found(conn, alerts=hook(receiver))
    await company.alert("dead_event", "critical", event_type="alert.deliver")

    await drain(automations(), database_url, **PRIVATE)

    assert receiver.requests == []
    assert [row["status"] for row in await deliveries(company)] == ["no_channel"]


async def test_an_alert_email_says_what_happened(conn, database_url):
    postbox = Postbox()
    async with smtp_server(postbox) as port:
        company = await Company.found(conn, alerts={"emails": ["ops@acme.test", "boss@acme.test"]})
        await company.alert("disk_full", "warning", disk="sda")
        await drain(automations(), database_url, email_url=f"smtp://127.0.0.1:{port}")

    assert sorted(postbox.recipients) == ["boss@acme.test", "ops@acme.test"]
    message = postbox.messages[0]
    assert message["Subject"] == "[warning] Acme: The disk is full"
    assert "disk: sda" in message.get_payload()


async def test_broken_templates_do_not_silence_the_alerts_and_broken_channels_are_said(
    conn, database_url, receiver
):
    company = await Company.found(
        conn, alerts=hook(receiver), templates={"friendly": {"subject": "{{", "text": "x"}}
    )
    await company.alert()
    await drain(automations(), database_url, **PRIVATE)
    assert len(receiver.requests) == 1

    await company.configure(alerts={"webhook_url": "ftp://nowhere"})
    await company.alert("another")
    left = await drain(automations(), database_url, **PRIVATE)
    assert len(receiver.requests) == 1
    assert left.dead == 0
    assert len(await company.alerts("settings_invalid")) == 1


async def test_settings_that_are_broken_for_a_while_end_neither_repetitions_nor_deliveries(
    conn, database_url, receiver
):
    company = await Company.found(conn, alerts=hook(receiver))
    await company.alert("told_before")

    async def busy(request):
        return answer(503)

    receiver.respond = busy
    await drain(automations(), database_url, **PRIVATE)
    receiver.respond = None
    await company.configure(alerts={"webhook_url": "ftp://nowhere"})
    await company.alert("raised_meanwhile")
    await drain_now(conn, database_url)
    assert [row["status"] for row in await deliveries(company) if row["channel"]] == ["planned"]

    await company.configure(alerts=hook(receiver))
    receiver.requests.clear()
    for _ in range(3):
        await drain_now(conn, database_url)
    told = {request.json()["data"]["alert_type"] for request in receiver.requests}
    assert {"told_before", "raised_meanwhile"} <= told
    assert {event["subject_id"] for event in await company.waiting("alert.escalate")} == {
        row["id"]
        for row in await company.alerts()
        if row["alert_type"] in ("told_before", "raised_meanwhile")
    }


async def test_a_receivers_answer_may_be_of_any_bytes(conn, database_url, receiver):
    company = await Company.found(conn, alerts=hook(receiver))
    await company.alert("disk_full", "warning")

    async def zipped(request):
        return answer(500, b"\x1f\x8b\x08\x00\xff")

    receiver.respond = zipped
    left = await drain(automations(), database_url, **PRIVATE)
    assert left.dead == 0
    [row] = await deliveries(company)
    assert (row["status"], row["tries"], row["http_status"]) == ("planned", 1, 500)


async def test_an_acknowledged_alert_is_not_delivered_any_more(conn, database_url, receiver):
    company = await Company.found(conn, alerts=hook(receiver))
    alert = await company.alert()
    await conn.execute("update agent_alerts set acknowledged = true where id = $1", alert)
    await drain(automations(), database_url, **PRIVATE)
    assert receiver.requests == []


async def test_secrets_are_neither_in_the_deliveries_nor_in_the_alerts(conn, database_url, receiver):
    url = f"{receiver.url}?token=sesame"
    company = await Company.found(conn, alerts={"webhook_url": url, "webhook_secret": NEW})
    await company.alert()
    await drain(automations(), database_url)  # refused: private

    told = json.dumps([await deliveries(company), await company.alerts()], default=str)
    assert "sesame" not in told
    assert NEW not in told


async def test_a_channel_that_is_added_hears_of_what_nobody_was_told_of(conn, database_url, receiver):
    company = await Company.found(conn)
    for kind, severity in (("disk_full", "critical"), ("slow", "warning"), ("slow", "warning")):
        await company.alert(kind, severity)
    settled_by_somebody = await company.alert("mended", "critical")
    await company.alert("too_mild", "info")
    await drain(automations(), database_url, **PRIVATE)
    assert {row["status"] for row in await deliveries(company)} == {"no_channel"}
    await conn.execute("update agent_alerts set acknowledged = true where id = $1", settled_by_somebody)

    # What is saved beside the channels is no reason to look.
    await company.configure(templates={})
    assert await company.waiting("alert.created") == []
    await company.configure(alerts=hook(receiver, min_severity="warning"))
    await drain(automations(), database_url, **PRIVATE)

    told = [request.json()["data"] for request in receiver.requests]
    assert sorted(data["alert_type"] for data in told) == ["disk_full", "slow"]
    assert {row["status"] for row in await deliveries(company) if row["alert_type"] == "slow"} == {
        "delivered",
        "quiet",
    }
    # From now on it is like any other: a critical one is repeated, and nothing comes a second time.
    [repeated] = await company.waiting("alert.escalate")
    assert str(repeated["subject_id"]) in {data["alert_id"] for data in told}
    await company.configure(alerts=hook(receiver, min_severity="warning", emails=[]))
    await drain(automations(), database_url, **PRIVATE)
    assert len(receiver.requests) == 2


async def test_a_channel_that_is_added_later_hears_of_critical_alerts_of_any_age_and_of_others_of_a_day(
    conn, database_url, receiver
):
    company = await Company.found(conn)
    await company.alert("disk_full", "critical")
    await company.alert("slow", "warning")
    await drain(automations(), database_url, **PRIVATE)
    await DatabaseClock(conn).advance(timedelta(hours=25))
    await company.alert("late", "warning")
    for _ in range(2):  # a new day's partition may get in the first one's way
        await drain(automations(), database_url, **PRIVATE)

    await company.configure(alerts=hook(receiver))
    await drain(automations(), database_url, **PRIVATE)
    told = {request.json()["data"]["alert_type"] for request in receiver.requests}
    assert told == {"disk_full", "late"}


async def test_settings_are_saved_although_the_alerts_that_wait_for_them_cannot_be_read(conn, database_url):
    company = await Company.found(conn)
    await company.alert("disk_full", "critical")
    await drain(automations(), database_url, **PRIVATE)
    await conn.execute("alter table reactor.alert_deliveries rename to elsewhere")
    try:
        await company.configure(alerts={"emails": ["ops@acme.test"]})
    finally:
        await conn.execute("alter table reactor.elsewhere rename to alert_deliveries")
    saved = await conn.fetchval("select agent_settings from tenants where id = $1", company.tenant_id)
    assert saved == {"alerts": {"emails": ["ops@acme.test"]}}
