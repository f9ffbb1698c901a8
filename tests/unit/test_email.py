"""Sending one email: the message, SMTP step by step, and what the provider's URL says."""

import asyncio
import socket
import sys
from datetime import timedelta
from email import message_from_bytes, policy
from urllib.parse import unquote, urlsplit

import aiosmtplib
import pytest

from reactor.automation.resources import builtin_resources
from reactor.errors import SettingError
from reactor.outbound.circuit import Circuit, CircuitState
from reactor.outbound.email import (
    BLANKS,
    BadAddress,
    Email,
    ErrorType,
    SendFailed,
    Verdict,
    check_address,
    comparable,
)
from reactor.outbound.mailer import CircuitOpen, EmailUrlError, make_mailer
from reactor.outbound.smtp import SmtpProvider
from reactor.settings import Settings
from tests.automation.providers import Postbox, smtp_server
from tests.automation.rude_smtp import rude_smtp
from tests.automation.tls import client_context, server_context


def email_to(address: str = "ada@widgets.test", **more: str | None) -> Email:
    fields = {
        "sender": "hello@acme.test",
        "sender_name": "Acme",
        "to_name": "Ada",
        "subject": "Hi",
        "text": "Hello",
    }
    return Email(key="key-1", to=address, **{**fields, **more})


def test_a_header_cannot_be_smuggled_in_by_a_name_or_a_subject():
    mime = email_to(subject="Hi\r\nBcc: all@people.test", to_name="Ada\r\nBcc: x@y.test").mime()
    assert mime["Bcc"] is None
    assert mime["Subject"] == "Hi Bcc: all@people.test"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "a@b@c",
        "a b@c.test",
        "a@b.test\r\nBcc: x@y",
        "<a@b.test>",
        "a,b@c.test",
        "a@-.test-",
        "=?utf-8?q?a?=@b.test",
        "ä@b.test",
    ],
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(BadAddress):
        check_address(address)


def test_what_nobody_sees_at_an_addresss_ends_is_no_part_of_it():
    assert {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()} < set(BLANKS)
    for blank in BLANKS:
        assert check_address(f"{blank}Ada@widgets.test{blank}") == "Ada@widgets.test"
        assert comparable(f"{blank}Ada@Widgets.TEST{blank}") == "ada@widgets.test"
    assert comparable(None) == ""


def test_a_one_click_address_is_announced_with_its_post_header():
    headers = email_to(unsubscribe="https://acme.test/u/1").headers()
    assert (
        headers["List-Unsubscribe"] == "<https://acme.test/u/1>, <mailto:hello@acme.test?subject=unsubscribe>"
    )
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    # RFC 8058 (3.1) wants https for it; who clicks by hand may go elsewhere.
    assert "List-Unsubscribe-Post" not in email_to(unsubscribe="http://acme.test/u/1").headers()


@pytest.mark.parametrize(
    ("sender", "url", "written"),
    [
        ("hello@acme.test", f"https://acme.test/u/{'t' * 300}", f"https://acme.test/u/{'t' * 300}"),
        (
            "hello@acme.test",
            "https://acme.test:8443/u?to=ü>,<x",
            "https://acme.test:8443/u?to=%C3%BC%3E,%3Cx",
        ),
        ("hello@acme.test", "https://ümläut.test/u/1", "https://xn--mlut-moa5l.test/u/1"),
        (
            "hello@acme.test",
            "https://acme.test/u%2F1?a=?utf-8?q?b?=",
            "https://acme.test/u%2F1?a=%3Futf-8?q?b?=",
        ),
        (f"{'team.' * 10}a@{'mail.' * 10}acme.test", None, None),
        ("r&d?a=b%@acme.test", None, None),
    ],
)
def test_where_to_unsubscribe_is_read_as_it_stands_so_it_is_never_encoded(sender, url, written):
    wire = email_to(sender=sender, unsubscribe=url).mime().as_bytes()

    assert max(map(len, wire.splitlines())) < 998
    [raw] = [line for line in message_from_bytes(wire)._headers if line[0] == "List-Unsubscribe"]
    *post, mail = "".join(raw[1].splitlines()).split(">, <")
    assert post == ([] if written is None else [f"<{written}"])
    out = urlsplit(mail.strip("<>"))
    assert (out.scheme, unquote(out.path), out.query) == ("mailto", sender, "subject=unsubscribe")


def test_what_is_no_name_and_no_subject_is_cut_where_nobody_reads_on():
    # To fold a megabyte takes the library minutes, in which nothing else happens in the process.
    pasted = "é " * 500_000
    mime = email_to(to_name=pasted, sender_name=pasted, subject=pasted).mime()
    assert mime["To"].addresses[0].display_name == ("é " * 100).strip()
    assert mime["From"].addresses[0].addr_spec == "hello@acme.test"
    assert mime["Subject"] == ("é " * 500).strip()


def test_an_html_part_comes_beside_the_text_never_instead():
    mime = email_to(html="<p>Hello</p>").mime()
    assert [part.get_content_type() for part in mime.iter_parts()] == ["text/plain", "text/html"]


async def test_connections_are_used_again_and_a_dropped_one_is_replaced():
    postbox = Postbox()
    async with smtp_server(postbox) as port:
        provider = SmtpProvider("127.0.0.1", port)
        for _ in range(3):
            await provider.send(email_to())
        assert len(postbox.connections) == 1
    async with smtp_server(postbox, port=port):  # restarted: the idle connection is dead
        await provider.send(email_to())
    await provider.aclose()
    assert len(postbox.messages) == 4
    assert len(postbox.connections) == 2


@pytest.mark.parametrize(
    ("at", "what"),
    [
        ("RSET", "421 4.4.2 idle for too long"),
        ("RSET", "502 5.5.1 no such command"),
        ("RSET", "whatever"),
        ("MAIL", "421 4.7.0 too many messages on this connection"),
        ("RCPT", "421 4.3.2 shutting down"),
    ],
)
async def test_what_is_said_of_a_connection_that_is_used_again_is_not_said_of_the_email(at, what):
    async with rude_smtp("", "") as server:
        provider = SmtpProvider("127.0.0.1", server.port, starttls=False)
        await provider.send(email_to())
        server.at, server.what, server.once = at, what, True
        await provider.send(email_to())
        await provider.aclose()
    assert len(server.accepted) == 2


async def test_starttls_and_login():
    postbox = Postbox()
    async with smtp_server(postbox, password="sesame", tls_context=server_context()) as port:
        good = SmtpProvider("127.0.0.1", port, "user", "sesame", tls=client_context())
        await good.send(email_to())
        await good.aclose()
        bad = SmtpProvider("127.0.0.1", port, "user", "wrong", tls=client_context())
        with pytest.raises(SendFailed) as failed:
            await bad.send(email_to())
        untrusting = SmtpProvider("127.0.0.1", port, "user", "sesame")
        with pytest.raises(SendFailed) as distrusted:
            await untrusting.send(email_to())
    assert len(postbox.messages) == 1
    assert (failed.value.error_type, failed.value.verdict) == (ErrorType.AUTH, Verdict.PROVIDER)
    assert distrusted.value.verdict is Verdict.RETRY


async def test_a_password_is_never_sent_over_a_connection_in_clear():
    postbox = Postbox()
    async with smtp_server(postbox) as port:  # offers no STARTTLS
        provider = SmtpProvider("127.0.0.1", port, "user", "sesame")
        with pytest.raises(SendFailed) as failed:
            await provider.send(email_to())
    assert failed.value.verdict is Verdict.PROVIDER
    assert postbox.commands == []


@pytest.mark.parametrize(
    ("answer", "error_type", "verdict"),
    [
        ("550 5.1.1 no such user", ErrorType.REFUSED, Verdict.PERMANENT),
        ("450 4.2.1 too many messages", ErrorType.RATE_LIMIT, Verdict.RETRY),
        ("451 4.3.0 try again", ErrorType.SERVER, Verdict.RETRY),
        ("452 4.2.2 Quota exceeded (mailbox for user is full)", ErrorType.SERVER, Verdict.RETRY),
        ("530 5.7.0 authentication required", ErrorType.AUTH, Verdict.PROVIDER),
    ],
)
async def test_what_a_refused_recipient_means(answer, error_type, verdict):
    postbox = Postbox(rcpt={"ada@widgets.test": answer})
    async with smtp_server(postbox) as port:
        provider = SmtpProvider("127.0.0.1", port)
        with pytest.raises(SendFailed) as failed:
            await provider.send(email_to())
        # The conversation goes on with the same connection.
        await provider.send(email_to("bob@widgets.test"))
        await provider.aclose()
    assert (failed.value.error_type, failed.value.verdict) == (error_type, verdict)
    assert postbox.recipients == ["bob@widgets.test"]


async def test_a_server_that_says_nothing_is_a_timeout_before_anything_was_sent():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        provider = SmtpProvider("127.0.0.1", silent.getsockname()[1], timeout=timedelta(seconds=0.2))
        with pytest.raises(SendFailed) as failed:
            await provider.send(email_to())
    assert (failed.value.error_type, failed.value.verdict) == (ErrorType.TIMEOUT, Verdict.RETRY)


@pytest.mark.parametrize(
    ("at", "verdict"), [("greeting", Verdict.RETRY), ("RCPT", Verdict.RETRY), ("end", Verdict.UNKNOWN)]
)
async def test_however_long_a_command_may_take_the_conversation_ends_before_the_handler_must(at, verdict):
    async with rude_smtp(at, "hang") as server, asyncio.timeout(10):
        provider = SmtpProvider(
            "127.0.0.1",
            server.port,
            starttls=False,
            timeout=timedelta(minutes=5),
            within=timedelta(seconds=0.5),
        )
        with pytest.raises(SendFailed) as failed:
            await provider.send(email_to())
    assert (failed.value.error_type, failed.value.verdict) == (ErrorType.TIMEOUT, verdict)


async def test_a_connection_lost_after_the_data_leaves_us_not_knowing():
    postbox = Postbox(hang_up_after_data=True)
    async with smtp_server(postbox) as port:
        with pytest.raises(SendFailed) as failed:
            await SmtpProvider("127.0.0.1", port).send(email_to())
    assert failed.value.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("smtp://mail.test", SmtpProvider("mail.test", 587)),
        ("smtp://u%40x:p%2Fw@mail.test:2525", SmtpProvider("mail.test", 2525, "u@x", "p/w")),
        ("smtps://u:p@mail.test", SmtpProvider("mail.test", 465, "u", "p", implicit_tls=True)),
        (
            "smtp://mail.test?starttls=never&timeout=5",
            SmtpProvider("mail.test", 587, starttls=False, timeout=timedelta(seconds=5)),
        ),
    ],
)
def test_what_an_smtp_url_means(url, provider):
    assert make_mailer(url, "a@b.test").provider == provider


@pytest.mark.parametrize(
    "url",
    [
        "mail.test",
        "http://sesame@mail.test",
        "smtp://",
        "smtp://u:sesame@mail.test:port",
        "resend://api.resend.com",
        "smtp://u:sesame@mail.test?starttls=maybe",
        "smtp://u:sesame@mail.test?timeout=long",
        "smtp://u:sesame@mail.test?timeout=inf",
        "smtp://u:sesame@mail.test?timeout=1e300",
        "smtp://u:sesame@mail.test?timeout=0",
        "smtp://u:sesame@mail.test?timeout=-5",
        "smtp://u:sesame@mail.test?startls=always",
        "smtp://u:sesame@mail.test?starttls",
        "smtps://u:sesame@mail.test?scheme=http",
        "resend://sesame@api.test?scheme=ftp",
        "resend://sesame@api.test?timeout=5",
        "resend://sesame@api.te st",
        "resend://sesame%20open@api.test",
        "resend://sesame%C3%A9@api.test",
        "smtp://u:sesame@mail.test?timeout=nan",
        "smtp://u:open?sesame@mail.test",
        "smtp://u:sesame@mail.test?starttls=",
    ],
)
def test_a_wrong_url_is_said_without_its_password(url):
    with pytest.raises(EmailUrlError) as wrong:
        make_mailer(url, "a@b.test")
    assert "sesame" not in str(wrong.value)


async def test_a_wrong_provider_url_names_the_variable_and_what_to_write():
    with pytest.raises(SettingError, match="REACTOR_EMAIL_URL is wrong: it holds no API key") as wrong:
        async with builtin_resources(Settings(email_url="resend://api.resend.com")):
            pass
    assert "resend://KEY@api.resend.com" in wrong.value.hint


def test_no_repr_shows_a_password():
    mailer = make_mailer("smtp://user:sesame@mail.test", "a@b.test")
    assert "sesame" not in repr(mailer)
    assert "sesame" not in repr(make_mailer("resend://sesame@api.test", "a@b.test"))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_circuit_opens_waits_longer_each_time_and_one_probe_decides():
    clock = Clock()
    circuit = Circuit(
        threshold=2, first_pause=timedelta(seconds=10), longest_pause=timedelta(seconds=15), clock=clock
    )
    assert not circuit.failed()
    assert circuit.failed()
    assert circuit.wait() == timedelta(seconds=10)

    clock.now = 10
    assert circuit.state is CircuitState.HALF_OPEN
    assert circuit.wait() is None
    assert circuit.wait() == timedelta(seconds=5)  # somebody probes already
    assert circuit.failed()
    assert circuit.wait() == timedelta(seconds=15)  # twice as long, but for the ceiling

    clock.now = 25
    assert circuit.wait() is None
    circuit.abandoned()  # the probe was cancelled: the next one may
    assert circuit.wait() is None
    circuit.succeeded()
    assert circuit.state is CircuitState.CLOSED
    assert not circuit.failed()


def test_what_was_on_its_way_when_the_circuit_opened_opens_it_no_second_time():
    now = 0.0
    circuit = Circuit(clock=lambda: now)
    assert [circuit.failed() for _ in range(9)] == [False] * 4 + [True] + [False] * 4
    assert circuit.remaining == timedelta(seconds=30)
    now = 31.0
    assert circuit.wait() is None
    assert circuit.failed()
    assert circuit.remaining == timedelta(minutes=1)


async def test_a_refused_recipient_says_nothing_about_the_provider_and_bad_credentials_all():
    postbox = Postbox(rcpt={"ada@widgets.test": "550 no", "bob@widgets.test": "535 no"})
    async with smtp_server(postbox) as port:
        mailer = make_mailer(f"smtp://127.0.0.1:{port}", "a@b.test")
        for _ in range(10):
            mailer.check()
            with pytest.raises(SendFailed):
                await mailer.send(email_to())
        mailer.check()
        with pytest.raises(SendFailed):
            await mailer.send(email_to("bob@widgets.test"))
        with pytest.raises(CircuitOpen):
            mailer.check()
        await mailer.aclose()


async def test_an_outage_is_news_once_however_often_the_circuit_opens_in_it():
    now = 0.0
    postbox = Postbox(rcpt={"busy@widgets.test": "451 4.3.0 no", "nobody@widgets.test": "535 no"})
    async with smtp_server(postbox) as port:
        mailer = make_mailer(f"smtp://127.0.0.1:{port}", "a@b.test")
        mailer.circuit = Circuit(clock=lambda: now)

        async def is_news(local: str) -> bool:
            nonlocal now
            now += 1000.0  # whatever pause there was is over
            mailer.check()
            with pytest.raises(SendFailed) as failed:
                await mailer.send(email_to(f"{local}@widgets.test"))
            return failed.value.began_outage

        assert [await is_news("busy") for _ in range(8)] == [False] * 4 + [True] + [False] * 3
        # That the credentials are wrong is another matter, and does not mend itself.
        assert [await is_news("nobody") for _ in range(3)] == [True, False, False]
        now += 1000.0
        mailer.check()
        await mailer.send(email_to("ada@widgets.test"))
        assert [await is_news("nobody") for _ in range(2)] == [True, False]
        await mailer.aclose()


async def test_a_full_mailbox_closes_the_provider_to_nobody_else():
    postbox = Postbox(
        rcpt={"ada@widgets.test": "452 4.2.2 the mailbox is full", "bob@widgets.test": "451 4.3.0 no"}
    )
    async with smtp_server(postbox) as port:
        mailer = make_mailer(f"smtp://127.0.0.1:{port}", "a@b.test")
        for address in ("ada@widgets.test",) * 10 + ("bob@widgets.test",) * 5:
            mailer.check()
            with pytest.raises(SendFailed):
                await mailer.send(email_to(address))
        with pytest.raises(CircuitOpen):
            mailer.check()
        await mailer.aclose()


@pytest.mark.parametrize("local", ["abc.", ".abc", ".a.b."])
@pytest.mark.parametrize("name", ["", "Ada", "Lovelace, Ada", "Äda " * 40])
def test_an_address_with_a_dot_at_an_end_is_written_in_quotes(local, name):
    email = email_to(f"{local}@widgets.test", to_name=name, reply_to=f"{local}@acme.test")
    written = email.mime().as_bytes()
    assert f'"{local}"@widgets.test'.encode() in written
    assert f'"{local}"@acme.test'.encode() in written
    read = message_from_bytes(written, policy=policy.SMTP)
    assert [to.addr_spec for to in read["To"].addresses] == [f"{local}@widgets.test"]


async def test_a_mail_server_is_told_such_an_address_in_quotes(monkeypatch):
    said = []

    class Client(aiosmtplib.SMTP):
        async def execute_command(self, *words, **options):
            said.append(b" ".join(words))
            return await super().execute_command(*words, **options)

    monkeypatch.setattr(aiosmtplib, "SMTP", Client)
    postbox = Postbox()
    async with smtp_server(postbox) as port:
        provider = SmtpProvider("127.0.0.1", port)
        await provider.send(email_to("abc.@widgets.test", sender="us.@acme.test"))
        await provider.aclose()
    assert b'RCPT TO:<"abc."@widgets.test>' in said
    assert any(line.startswith(b'MAIL FROM:<"us."@acme.test>') for line in said)
    assert [message["To"] for message in postbox.messages] == ['Ada <"abc."@widgets.test>']


def test_a_message_that_cannot_be_written_is_a_failure_for_good_and_not_the_providers():
    with pytest.raises(SendFailed, match="cannot be written") as failed:
        email_to(text="half of a pair: \ud800").check()
    assert failed.value.verdict is Verdict.PERMANENT
