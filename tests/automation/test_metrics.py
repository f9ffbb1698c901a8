"""What Prometheus is told of emails and alerts."""

from datetime import timedelta

import structlog
from prometheus_client import generate_latest

from reactor.telemetry.metrics import REGISTRY
from reactor.testing import DatabaseClock, drain
from tests.automation.company import Company, automations
from tests.automation.providers import Postbox, answer, http_receiver, smtp_server

SECRET = "whsec_" + "bmV3IHNlY3JldCBuZXcgc2VjcmV0IG5ldw=="


class Since:
    """How much the process's counters have grown since this was made."""

    def __init__(self) -> None:
        self._before = self._all()

    @staticmethod
    def _all() -> dict[tuple[str, str], float]:
        return {
            (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
            for family in REGISTRY.collect()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        key = (name, ",".join(f"{k}={v}" for k, v in sorted(labels.items())))
        return self._all().get(key, 0.0) - self._before.get(key, 0.0)


async def test_emails_are_counted_as_sent_failed_and_blocked_and_timed(conn, database_url):
    company = await Company.found(conn, email_mode="send", max_emails_per_hour=3)
    await company.overdue_contacts(5)
    await DatabaseClock(conn).stop()
    since = Since()
    postbox = Postbox(rcpt={"p1@people.test": "550 5.1.1 no such user"})
    async with smtp_server(postbox) as port:
        await drain(automations(), database_url, email_url=f"smtp://127.0.0.1:{port}")

    sent = len(postbox.messages)
    failed = 1 if await conn.fetchval("select count(*) from email_provider_failures") else 0
    assert sent + failed == 3
    assert since("reactor_emails_sent_total", provider="smtp") == sent
    assert since("reactor_emails_failed_total", provider="smtp", error_type="refused") == failed
    assert since("reactor_email_send_seconds_count", provider="smtp") == 3
    assert since("reactor_actions_blocked_total", action="email_send", policy="rate_limit") == 2
    assert str(company.tenant_id) not in generate_latest(REGISTRY).decode()


async def test_an_open_circuit_is_said_in_the_log_and_by_a_gauge_until_an_email_goes_out(conn, database_url):
    company = await Company.found(conn, email_mode="send")
    postbox = Postbox()
    for n in range(6):
        postbox.data[f"p{n}@people.test"] = "451 4.3.0 try again"
        await company.overdue(contact=await company.contact(f"p{n}@people.test"))
    since = Since()
    async with smtp_server(postbox) as port:
        smtp = {"email_url": f"smtp://127.0.0.1:{port}"}
        with structlog.testing.capture_logs() as logs:
            await drain(automations(), database_url, **smtp)
        [opened] = [entry for entry in logs if entry["event"] == "email_circuit_opened"]
        assert (opened["log_level"], opened["provider"], opened["error_type"]) == ("warning", "smtp", "5xx")
        assert since("reactor_emails_failed_total", provider="smtp", error_type="5xx") == 5
        assert REGISTRY.get_sample_value("reactor_email_circuit_open") == 1

        # Another process's circuit is closed: its first email goes out.
        postbox.data.clear()
        await conn.execute("update reactor.events set available_at = null")
        await drain(automations(), database_url, **smtp)
    assert len(postbox.messages) == 6
    assert REGISTRY.get_sample_value("reactor_email_circuit_open") == 0


async def test_alerts_are_counted_as_created_delivered_failed_and_escalated(conn, database_url):
    async with http_receiver() as receiver:
        company = await Company.found(
            conn, alerts={"webhook_url": receiver.url, "webhook_secret": SECRET, "dedup_minutes": 0}
        )
        since = Since()
        await company.alert("disk_full", "critical")
        await drain(automations(), database_url, webhook_allow_private=True)
        assert since("reactor_alerts_created_total", severity="critical") == 1
        assert since("reactor_alerts_delivered_total", channel="webhook") == 1
        [waiting] = await company.waiting("alert.escalate")
        assert waiting["wait"] > timedelta(minutes=14)

        await conn.execute("update reactor.events set available_at = null")
        await drain(automations(), database_url, webhook_allow_private=True)
        assert since("reactor_alerts_escalated_total") == 1
        assert since("reactor_alerts_delivered_total", channel="webhook") == 2

        async def gone(request):
            return answer(410)

        receiver.respond = gone
        await company.alert("another", "warning")
        await drain(automations(), database_url, webhook_allow_private=True)
    assert since("reactor_alerts_failed_total", channel="webhook") == 1
    assert since("reactor_alerts_created_total", severity="warning") == 2  # and the one about the channel
