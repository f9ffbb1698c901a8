"""Every way in which a mail server lets us down: what is written down, whether it is tried again, and that
in the end nobody has two emails."""

from datetime import timedelta

import pytest

from reactor.testing import DatabaseClock, drain
from tests.automation.company import Company, automations
from tests.automation.rude_smtp import rude_smtp

AGAIN, GIVEN_UP, NOBODY_KNOWS = "queued", "failed", "unknown"


@pytest.mark.parametrize(
    ("at", "what", "error_type", "then", "attempts"),
    [
        ("greeting", "hang", "timeout", AGAIN, 1),
        ("greeting", "close", "refused", AGAIN, 1),
        ("greeting", "421 4.3.2 shutting down", "5xx", AGAIN, 1),
        ("greeting", "554 5.7.1 go away", "5xx", AGAIN, 0),
        ("greeting", "HTTP/1.1 400 Bad Request", "other", AGAIN, 0),
        ("MAIL", "hang", "timeout", AGAIN, 1),
        ("MAIL", "whatever", "other", AGAIN, 1),
        ("MAIL", "452 4.3.1 no space", "5xx", AGAIN, 1),
        ("MAIL", "530 5.7.0 authentication required", "auth", AGAIN, 0),
        ("MAIL", "553 5.7.1 sender not allowed", "5xx", GIVEN_UP, 0),
        ("RCPT", "close", "refused", AGAIN, 1),
        ("RCPT", "451 4.3.0 try again", "5xx", AGAIN, 1),
        ("RCPT", "450 4.7.1 too many messages", "rate_limit", AGAIN, 0),
        ("RCPT", "452 4.2.2 over quota", "5xx", AGAIN, 1),
        ("RCPT", "550 5.1.1 no such user", "refused", GIVEN_UP, 0),
        ("RCPT", "450 4.2.0 später", "5xx", AGAIN, 1),
        ("RCPT", "550 5.1.1 Empfänger unbekannt", "refused", GIVEN_UP, 0),
        ("RCPT", "354 go ahead", "other", AGAIN, 1),
        ("DATA", "451 4.3.0 no", "5xx", AGAIN, 1),
        ("end", "451 4.3.0 greylisted", "5xx", AGAIN, 1),
        ("end", "550 5.4.5 daily user sending limit exceeded", "rate_limit", AGAIN, 0),
        ("end", "554 5.6.0 not this text", "5xx", GIVEN_UP, 0),
        ("end", "whatever", "other", NOBODY_KNOWS, 0),
        ("end", "251 2.0.0 taken, and more than that", "other", NOBODY_KNOWS, 0),
        ("body", "close", "other", NOBODY_KNOWS, 0),
        ("end", "close", "other", NOBODY_KNOWS, 0),
        ("end", "hang", "timeout", NOBODY_KNOWS, 0),
    ],
)
async def test_each_failure_is_classified_recorded_and_tried_again_or_not(
    conn, database_url, at, what, error_type, then, attempts
):
    company = await Company.found(conn, email_mode="send")
    await company.overdue(contact=await company.contact("ada@widgets.test"))
    await DatabaseClock(conn).stop()
    async with rude_smtp(at, what) as server:

        def smtp(seconds):
            return {"email_url": f"smtp://127.0.0.1:{server.port}?starttls=never&timeout={seconds}"}

        await drain(automations(), database_url, **smtp(0.4 if what == "hang" else 20))

        [failure] = await company.rows("email_provider_failures")
        assert (failure["error_type"], failure["provider"]) == (error_type, "smtp")
        [intent] = await company.intents()
        assert intent["status"] == then
        assert [event["attempts"] for event in await company.waiting("email.send")] == (
            [attempts] if then == AGAIN else []
        )
        cards = [card["title"] for card in await company.cards()]
        assert (
            cards
            == {
                AGAIN: [],
                GIVEN_UP: [
                    "ada@widgets.test cannot be written to"
                    if at == "RCPT"
                    else "Our email to ada@widgets.test was not accepted"
                ],
                NOBODY_KNOWS: ["Did our email reach ada@widgets.test?"],
            }[then]
        )
        # Said to us, not about the message: nothing goes out until somebody mends it.
        at_once = error_type == "auth" or (at, what[:1]) in (("greeting", "5"), ("greeting", "H"))
        alerts = ["provider_failure"] if at_once else []
        assert [a["alert_type"] for a in await company.alerts()] == (
            ["email_unknown"] if then == NOBODY_KNOWS else alerts
        )
        assert server.accepted == []

        server.behave()
        await conn.execute("update reactor.events set available_at = null")
        left = await drain(automations(), database_url, **smtp(20))
        assert len(server.accepted) == (1 if then == AGAIN else 0)
    assert (left.delayed, left.dead) == (0, 0)
    assert [row["status"] for row in await company.intents()] == ["sent" if then == AGAIN else then]


async def test_the_fifth_failure_within_a_quarter_of_an_hour_raises_one_alert_an_hour(conn):
    company, other = await Company.found(conn), await Company.found(conn)
    clock = DatabaseClock(conn)

    async def fail(times: int, whose: Company = company) -> int:
        for _ in range(times):
            await conn.execute(
                "select reactor.record_email_failure($1, 'timeout', 'no answer', 'smtp')", whose.tenant_id
            )
        return len(await company.alerts("provider_failure"))

    assert await fail(4) == 0
    assert await fail(4, other) == 0  # somebody else's failures are not ours
    await clock.advance(timedelta(minutes=15, seconds=1))
    assert await fail(4) == 0  # the first four are too long ago
    assert await fail(1) == 1
    assert await fail(5) == 1
    await clock.advance(timedelta(minutes=59))
    assert await fail(5) == 1
    await clock.advance(timedelta(minutes=2))
    assert await fail(1) == 2
    assert {alert["severity"] for alert in await company.alerts()} == {"critical"}
    assert await other.alerts() == []
