"""Webhooks: signatures, pinned addresses, and what answers mean. Receivers are real, on loopback."""

import asyncio
import socket
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from standardwebhooks.webhooks import Webhook

from reactor.outbound.webhook import (
    MAX_ANSWER_BYTES,
    MAX_RETRY_AFTER,
    Outcome,
    WebhookSender,
    judge_answer,
    parse_retry_after,
    secret_bytes,
    sign,
    webhook_client,
)
from tests.automation.providers import answer, http_receiver
from tests.automation.tls import client_context, server_context
from tests.patience import patience

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
async def sender():
    async with webhook_client() as client:
        yield WebhookSender(client, allow_private=True, total_timeout=timedelta(seconds=5))


def test_the_signature_is_the_one_of_the_schemes_own_library():
    now = datetime.now(UTC)
    ours = sign("msg_1", int(now.timestamp()), b'{"a":1}', [SECRET])
    assert ours == Webhook(SECRET).sign("msg_1", now, '{"a":1}')


def test_each_secret_gives_a_signature_the_first_secret_first():
    both = sign("m", 1, b"x", [SECRET, OTHER]).split(" ")
    assert both == [sign("m", 1, b"x", [SECRET]), sign("m", 1, b"x", [OTHER])]


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", "whsec_" + "QUFB" * 100])
def test_a_secret_that_is_no_secret_is_refused(secret):
    with pytest.raises(ValueError, match="webhook secret"):
        secret_bytes(secret)


async def test_a_message_arrives_with_its_headers_and_body(sender):
    async with http_receiver() as receiver:
        sent = await sender.send(receiver.url, [SECRET], "msg_1", b'{"a":1}')
    assert (sent.outcome, sent.status) == (Outcome.DELIVERED, 200)
    [request] = receiver.requests
    assert request.body == b'{"a":1}'
    assert request.headers["webhook-id"] == "msg_1"
    Webhook(SECRET).verify(request.body, request.headers)


async def test_the_connection_goes_to_the_judged_address_and_keeps_the_name(sender):
    asked = []

    async def resolver(host, port):
        asked.append(host)
        return ["127.0.0.1"]

    async with (
        webhook_client(tls=client_context()) as client,
        http_receiver(tls_context=server_context()) as receiver,
    ):
        pinned = WebhookSender(client, allow_private=True, resolver=resolver)
        sent = await pinned.send(f"https://hook.test:{receiver.port}/in", [SECRET], "m", b"{}")
        assert sent.outcome is Outcome.DELIVERED, sent.detail
        assert receiver.requests[0].headers["host"] == f"hook.test:{receiver.port}"
        assert asked == ["hook.test"]

        other = await pinned.send(f"https://other.test:{receiver.port}/in", [SECRET], "m", b"{}")
        assert other.outcome is Outcome.RETRY
        assert "certificate" in other.detail.lower()
        assert len(receiver.requests) == 1


async def test_a_name_that_changes_its_address_after_the_check_gains_nothing():
    """DNS rebinding: the second answer is loopback, and nobody asks for it."""
    answers = iter([["127.0.0.1"], ["8.8.8.8"]])

    async def rebinding(host, port):
        return next(answers)

    async with webhook_client() as client, http_receiver() as receiver:
        sender = WebhookSender(client, allow_private=False, resolver=rebinding)
        sent = await sender.send(f"https://hook.test:{receiver.port}/", [SECRET], "m", b"{}")
    assert sent.outcome is Outcome.REFUSED
    assert receiver.requests == []


async def test_when_the_first_address_does_not_answer_the_next_one_is_tried(sender):
    async def resolver(host, port):
        return ["127.0.0.2", "127.0.0.1"]

    async with http_receiver() as receiver:
        both = WebhookSender(sender.client, allow_private=True, resolver=resolver)
        sent = await both.send(f"http://hook.test:{receiver.port}/", [SECRET], "m", b"{}")
    assert sent.outcome is Outcome.DELIVERED


async def test_redirects_are_not_followed(sender):
    async with http_receiver() as secret_place, http_receiver() as receiver:

        async def redirect(request):
            return answer(307, b"", Location=secret_place.url)

        receiver.respond = redirect
        sent = await sender.send(receiver.url, [SECRET], "m", b"{}")
    assert (sent.outcome, sent.status) == (Outcome.RETRY, 307)
    assert secret_place.requests == []


async def test_a_receiver_that_never_answers_is_given_up_in_time(sender):
    async def never(request):
        await asyncio.Event().wait()

    quick = WebhookSender(sender.client, allow_private=True, total_timeout=timedelta(seconds=0.3))
    async with http_receiver() as receiver:
        receiver.respond = never
        async with patience(3):
            sent = await quick.send(receiver.url, [SECRET], "m", b"{}")
    assert sent.outcome is Outcome.RETRY
    assert "0.3 s" in sent.detail


async def test_an_endless_answer_is_read_only_as_far_as_the_cap(sender):
    async def endless(request):
        return answer(500, b"x" * (20 * MAX_ANSWER_BYTES))

    async with http_receiver() as receiver:
        receiver.respond = endless
        sent = await sender.send(receiver.url, [SECRET], "m", b"{}")
    assert sent.outcome is Outcome.RETRY
    assert len(sent.detail) < 300


async def test_nobody_listening_is_a_reason_to_try_again(sender):
    async with http_receiver() as receiver:
        url = receiver.url
    sent = await sender.send(url, [SECRET], "m", b"{}")
    assert sent.outcome is Outcome.RETRY


async def test_proxies_of_the_environment_are_not_used(monkeypatch):
    async with http_receiver() as proxy, http_receiver() as receiver:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with webhook_client() as client:
            await WebhookSender(client, allow_private=True).send(receiver.url, [SECRET], "m", b"{}")
    assert (len(proxy.requests), len(receiver.requests)) == (0, 1)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DELIVERED),
        (204, Outcome.DELIVERED),
        (301, Outcome.RETRY),
        (400, Outcome.RETRY),
        (404, Outcome.RETRY),
        (410, Outcome.GONE),
        (429, Outcome.RETRY),
        (500, Outcome.RETRY),
    ],
)
def test_what_a_status_means(status, outcome):
    assert judge_answer(status, None, "", 0).outcome is outcome


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("", None), ("soon", None), ("5", 5), ("-3", 0), ("999999999", 6 * 3600)],
)
def test_retry_after_in_seconds_is_cut_to_something_sensible(value, seconds):
    found = parse_retry_after(value, 0)
    assert found == (None if seconds is None else timedelta(seconds=seconds))


def test_retry_after_as_a_date_counts_from_now():
    now = datetime(2030, 1, 1, tzinfo=UTC)
    value = format_datetime(now + timedelta(minutes=2), usegmt=True)
    assert parse_retry_after(value, int(now.timestamp())) == timedelta(minutes=2)


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_retry_after_of_hundreds_of_digits_is_the_longest_wait(digits):
    assert parse_retry_after("9" * digits, 0) == MAX_RETRY_AFTER


async def test_a_webhook_at_a_name_of_other_letters_is_delivered(sender):
    async def resolver(host, port):
        return ["127.0.0.1"]

    async with http_receiver() as receiver, webhook_client() as client:
        idn = WebhookSender(client, allow_private=True, resolver=resolver)
        sent = await idn.send(f"http://exämple.test:{receiver.port}/x", [SECRET], "m", b"{}")
    assert sent.outcome is Outcome.DELIVERED
    assert receiver.requests[0].headers["host"] == f"xn--exmple-cua.test:{receiver.port}"


async def test_a_url_that_no_bytes_stand_for_is_refused_and_raises_nothing(sender):
    sent = await sender.send("http://127.0.0.1/\ud800", [SECRET], "m", b"{}")
    assert sent.outcome is Outcome.REFUSED


async def test_names_that_no_server_answers_for_hold_up_nobody_elses_look_ups(monkeypatch):
    real, answered = socket.getaddrinfo, threading.Event()

    def slow(host, *args, **options):
        if "tarpit.test" in str(host):
            answered.wait(60)
            raise socket.gaierror("no answer")
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        async with webhook_client() as client, asyncio.timeout(20):
            sender = WebhookSender(client, total_timeout=timedelta(seconds=0.2))
            answers = await asyncio.gather(
                *(sender.send(f"https://{n}.tarpit.test", [SECRET], "m", b"{}") for n in range(39))
            )
            assert {answer.outcome for answer in answers} == {Outcome.RETRY}
            # The database's name, say: the loop has few threads for it.
            assert await asyncio.get_running_loop().getaddrinfo("localhost", 5432)
    finally:
        answered.set()
