"""Any words on the command line: an exit code that is documented, one line of complaint, and no traceback."""

from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reactor.cli import entry
from tests.fuzz.conftest import Desk, examples
from tests.fuzz.strategies import sharp

#: docs/cli.md. (130 is Ctrl-C.)
_DOCUMENTED = {0, 1, 2, 3}
_COMMANDS: list[list[str]] = [
    ["status"],
    ["emit"],
    ["watch"],
    ["unwatch"],
    ["watches"],
    ["dead", "list"],
    ["dead", "show"],
    ["dead", "replay"],
    ["dead", "discard"],
    ["tenants", "list"],
    ["tenants", "enable"],
    ["tenants", "disable"],
    ["kill-switch", "on"],
    ["kill-switch", "off"],
    ["kill-switch", "status"],
    ["alerts", "list"],
    ["alerts", "ack"],
    ["locks", "list"],
    ["locks", "release"],
    ["events", "trace"],
    ["explain"],
    ["health"],
    ["migrate", "--check"],
    ["migrate", "--plan"],
]
_OPTIONS = [
    *("--json", "--help", "--limit", "--type", "--tenant", "--since", "--yes", "--reason", "--emit", "--on"),
    *("--when", "--payload", "--tenant-column", "--subject-column", "--subject", "--delay", "--priority"),
    *(
        "--dedup-key",
        "--name",
        "--all",
        "--severity",
        "--by",
        "--force",
        "--probe",
        "--via",
        "--",
        "--enabled",
    ),
]
#: What argv can hold: no NUL, and halves of surrogate pairs for bytes that are no UTF-8.
_argv = st.binary(max_size=30).map(lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
_ids = st.sampled_from(
    [
        "1",
        "-1",
        "0",
        str(2**63),
        str(2**31),
        "9" * 400,
        "٣",
        "1e3",
        "00000000-0000-0000-0000-000000000000",
        "{}",
    ]
)
_durations = st.sampled_from(["1h", "-1h", "99999999999d", "1e9s", "", "1h1h", "0", "nan", "1w"])
_words = _argv | sharp | _ids | _durations | st.sampled_from(_OPTIONS)


@pytest.fixture(scope="module")
def people(desk: Desk) -> UUID:
    """A tenant with a table, a dead event and an alert: something to find."""
    desk.do(
        desk.conn.execute(
            "create table public.things (id uuid primary key, tenant_id uuid not null);"
            "insert into reactor.dead_events (id, event_id, tenant_id, event_type, payload, priority, "
            "attempts, interruptions, created_at, died_at, reason, errors) "
            "select nextval('reactor.events_id_seq'), gen_random_uuid(), id, 'a', '{}', 0, 1, 0, now(), "
            "now(), 'it', '[]' from public.tenants"
        )
    )
    return desk.tenant


@pytest.fixture
def surroundings(clean: None, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTOR_DATABASE_URL", desk.url)


@examples(250)
@given(
    command=st.sampled_from(_COMMANDS),
    words=st.lists(_words, max_size=5),
    front=st.sampled_from([None, None, None, "tenant", "table"]),
)
@example(command=["emit"], words=["a", "{}", "--priority", str(2**31)], front="tenant")
@example(command=["emit"], words=["a", "{}", "--dedup-key", "\udcff"], front="tenant")
@example(command=["emit"], words=["a", '{"a": "\\u0000"}'], front="tenant")
@example(command=["emit"], words=["a", "{}", "--delay", "99999999999d"], front="tenant")
@example(command=["explain"], words=[str(2**63)], front=None)
@example(command=["watch"], words=["--emit", "x", "--when", "\udcff"], front="table")
@example(command=["dead", "list"], words=["--since", "99999999999d"], front=None)
def test_any_words_end_in_a_documented_exit_code(
    desk: Desk,
    people: UUID,
    surroundings: None,
    capfd: pytest.CaptureFixture[str],
    command: list[str],
    words: list[str],
    front: str | None,
) -> None:
    first = {"tenant": [str(people)], "table": ["public.things"], None: []}[front]
    capfd.readouterr()
    code = entry.run([*command, *first, *words])
    said = capfd.readouterr()
    assert code in _DOCUMENTED, (code, said.err)
    assert "Traceback" not in said.err
    if code == 2:
        complaint = [line for line in said.err.splitlines() if line.startswith("reactor: ")]
        assert len(complaint) == 1, said.err
    assert not _escapes(said.out + said.err), repr(said)


@examples(100)
@given(words=st.lists(_words | st.sampled_from([c[0] for c in _COMMANDS]), max_size=4))
def test_a_line_without_a_command_is_refused(
    surroundings: None, capfd: pytest.CaptureFixture[str], words: list[str]
) -> None:
    if words[:1] in (["run"], ["demo"], ["top"]):
        return
    code = entry.run(words)
    said = capfd.readouterr()
    assert code in _DOCUMENTED, (code, said.err)
    assert not _escapes(said.out + said.err), repr(said)


def _escapes(text: str) -> bool:
    """Whether it would do something to a terminal besides being read."""
    return any((ord(ch) < 32 and ch not in "\n\t") or 127 <= ord(ch) < 160 for ch in text)
