"""Tenants, people and companies with hostile names: in mail headers, templates, logs, and on a terminal."""

import json
from email import message_from_bytes
from email.policy import SMTP
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reactor.automation.templates import DEFAULTS, Letter, TemplateSource, problem_of, render
from reactor.cli import entry
from reactor.cli.output import print_rows
from reactor.outbound.email import BadAddress, Email, SendFailed
from reactor.telemetry import logs
from tests.fuzz.conftest import Desk, examples
from tests.fuzz.strategies import any_text, deep, sharp, words

_addresses = st.sampled_from(["ada@example.com", "b.c@x.example"]) | st.sampled_from(
    ["ada@example.com", "a\r\nBcc: eve@example.com@example.com", "a@b@c", "é@example.com", "a@b,c@d", "<a@b>"]
)
_HEADERS = {
    *(
        "from",
        "to",
        "subject",
        "message-id",
        "reply-to",
        "auto-submitted",
        "x-entity-ref-id",
        "list-unsubscribe",
    ),
    *("list-unsubscribe-post", "mime-version", "content-type", "content-transfer-encoding"),
}


@examples(150)
@given(
    sender_name=any_text | sharp,
    to_name=any_text | sharp,
    subject=any_text | sharp,
    to=_addresses,
    reply=_addresses,
)
@example(
    sender_name="a\r\nBcc: eve@example.com",
    to_name="\n",
    subject="x\r\n\r\nbody",
    to="ada@example.com",
    reply="ada@example.com",
)
def test_a_name_adds_no_header_and_no_recipient_to_an_email(
    sender_name: str, to_name: str, subject: str, to: str, reply: str
) -> None:
    email = Email("key", "us@example.com", sender_name, to, to_name, subject, "text", reply_to=reply)
    try:
        written = email.mime().as_bytes()
    except (BadAddress, SendFailed):
        return  # refused before anything is sent
    read = message_from_bytes(written, policy=SMTP)
    assert {name.lower() for name in read} <= _HEADERS
    assert len(read.keys()) == len({name.lower() for name in read})
    assert len(read["To"].addresses) == len(read["From"].addresses) == 1
    assert read["From"].addresses[0].addr_spec == "us@example.com"
    assert read["To"].addresses[0].addr_spec == to.strip()
    assert read.get_content().strip() == "text"


@examples(150)
@given(first=any_text | sharp, company=any_text | sharp, tenant=any_text | sharp, days=st.integers(0, 10**6))
def test_a_name_in_a_template_is_text_and_nothing_else(
    first: str, company: str, tenant: str, days: int
) -> None:
    own = TemplateSource(
        subject="{{ first_name }} {{ company_name }}",
        text="{{ tenant_name }}",
        html="<p>{{ tenant_name }}</p>",
    )
    letter = Letter(first, "", "", company, tenant, tenant, days)
    for source in (*DEFAULTS.values(), own):
        rendered = render(source, letter)
        assert "\n" not in rendered.subject
        assert "\r" not in rendered.subject
    html = render(own, letter).html
    assert html is not None
    inside = html.removeprefix("<p>").removesuffix("</p>")
    assert "<" not in inside
    assert ">" not in inside


@examples(150)
@given(
    source=any_text
    | sharp
    | st.sampled_from(
        ["{{", "{% if", "{{ 1/0 }}", "{{ ''.__class__ }}", "{% for x in y %}", "{{ first_name | upper", "{# "]
    )
)
def test_a_template_of_any_text_is_accepted_or_refused_in_words(source: str) -> None:
    problem = problem_of(source)
    assert problem is None or problem
    if problem is None and source:
        try:
            rendered = render(TemplateSource(subject=source, text=source), Letter("", "", "", "", "", "", 0))
        except ValueError:
            return  # too long for a subject
        assert rendered.subject is not None


@examples(150)
@given(name=any_text | sharp, key=any_text)
@example(name="\ud800", key="a")
def test_a_line_of_the_log_is_one_line_of_json(name: str, key: str) -> None:
    hide = logs.hider(["hunter2-very-secret"])
    event = {"event": "tenant_seen", "level": "info", "tenant": name, "more": {key: name}, "list": [name]}
    line = logs._dumps(hide(None, "info", event | {"said": name + "hunter2-very-secret"}), str)
    assert "\n" not in line
    assert "hunter2" not in line
    read = json.loads(line)
    assert read["event"] == "tenant_seen"


_AWKWARD = {
    "big": 10**40,
    "endless": 10**6000,
    "inside": {"n": [2**64]},
    "keys": {(1, 2): 3},
    "deep": deep(3000),
}


@pytest.mark.parametrize("kind", list(_AWKWARD))
def test_no_value_makes_a_log_line_fail(kind: str) -> None:
    value = _AWKWARD[kind]
    event = {"event": "seen", "value": value, "password": value}
    assert json.loads(logs._dumps(logs.hider([])(None, "info", event), str))["event"] == "seen"


@examples(100)
@given(rows=st.lists(st.tuples(any_text | sharp, any_text | sharp), max_size=3))
def test_a_table_prints_what_it_was_given_and_no_control_character(
    capfd: pytest.CaptureFixture[str], rows: list[tuple[str, str]]
) -> None:
    capfd.readouterr()
    print_rows([{"name": a, "reason": b} for a, b in rows], ["name", "reason"])
    said = capfd.readouterr().out
    assert all(ch.isprintable() or ch == "\n" for ch in said), repr(said)
    assert said.count("[red]") == sum(a.count("[red]") + b.count("[red]") for a, b in rows)


@examples(10)
@given(name=words, reason=words)
def test_tenants_of_any_name_are_listed_and_switched(
    desk: Desk, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    monkeypatch.setenv("REACTOR_DATABASE_URL", desk.url)

    async def make() -> UUID:
        await desk.conn.execute("delete from public.tenants where id <> $1", desk.tenant)
        made: UUID = await desk.conn.fetchval(
            "insert into public.tenants (name) values ($1) returning id", name
        )
        await desk.conn.execute("select reactor.emit($1, $2)", made, name[:200] or "x")
        await desk.conn.execute("select reactor.raise_alert($1, 'fuzz', 'warning', $2)", made, reason)
        return made

    tenant = desk.do(make())
    for argv in (
        ["tenants", "list"],
        ["tenants", "enable", str(tenant)],
        ["kill-switch", "on", "--reason", reason],
        ["kill-switch", "status"],
        ["status"],
        ["alerts", "list"],
        ["tenants", "list", "--json"],
    ):
        capfd.readouterr()
        code = entry.run(argv)
        said = capfd.readouterr()
        assert code in {0, 2}, (argv, said.err)
        assert all(ch.isprintable() or ch == "\n" for ch in said.out + said.err) or "--json" in argv, repr(
            said
        )
        if argv[-1] == "--json":
            assert any(row["name"] == name for row in json.loads(said.out))
