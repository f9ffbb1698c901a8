"""Settings: where they come from, and how a wrong one is refused."""

from datetime import timedelta

import pytest

from reactor.errors import SettingError
from reactor.settings import Settings, load, variable

pytestmark = pytest.mark.usefixtures("clean")


def refusal(monkeypatch, name: str, value: str) -> str:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError) as caught:
        load()
    assert caught.value.exit_code == 2
    text = f"{caught.value} | {caught.value.hint}"
    assert "\n" not in text
    return text


def test_defaults_are_those_of_the_interface():
    s = load()
    assert (s.concurrency, s.batch_size, s.max_attempts, s.max_interruptions) == (8, 200, 10, 20)
    assert (s.lease, s.poll, s.drain) == (timedelta(seconds=30), timedelta(seconds=30), timedelta(seconds=25))
    assert (s.http_host, s.http_port, s.notify) == ("127.0.0.1", 8080, "armed")
    assert s.email_url.get_secret_value() == "console://"
    assert s.dashboard_token is None
    assert s.webhook_allow_private is False


def test_two_replicas_of_one_process_have_different_names():
    assert load().replica != load().replica


def test_the_environment_wins_over_the_file(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("REACTOR_CONCURRENCY=3\nREACTOR_BATCH_SIZE=7\n")
    monkeypatch.setenv("REACTOR_CONCURRENCY", "5")
    assert (load().concurrency, load().batch_size) == (5, 7)


def test_an_override_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("REACTOR_CONCURRENCY", "5")
    monkeypatch.setenv("DATABASE_URL", "postgresql://a/b")
    chosen = load(concurrency=2, database_url="postgresql://c/d")
    assert (chosen.concurrency, chosen.dsn) == (2, "postgresql://c/d")


def test_database_url_is_read_when_ours_is_absent(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://u@h/theirs")
    assert load().dsn == "postgres://u@h/theirs"
    monkeypatch.setenv("REACTOR_DATABASE_URL", "postgres://u@h/ours")
    assert load().dsn == "postgres://u@h/ours"
    assert load().listen_dsn == "postgres://u@h/ours"


def test_pg_variables_are_left_to_the_driver(monkeypatch):
    monkeypatch.setenv("PGHOST", "/run/postgresql")
    assert load().dsn == "postgresql://"


def test_without_any_database_the_error_names_the_variable():
    with pytest.raises(SettingError, match="REACTOR_DATABASE_URL is not set"):
        _ = load().dsn


@pytest.mark.parametrize(
    "urls",
    [
        ["postgres://a/x", "postgres://b/x"],
        ["postgres://me:it@one:5432,two:5433/x?target_session_attrs=primary", "postgres://b/x"],
        ["postgres://b/x", "postgresql://one,two,three/x"],
        ["postgres:///x?host=one,two&port=1,2", "postgres://b/x"],
        ["postgres://me:a,b@one/x", "postgres://b/x"],
        ["postgres://a", "postgres://b"],
    ],
)
@pytest.mark.parametrize("comma", [",", " , ", ",,"])
def test_several_databases_may_each_be_on_several_servers(
    monkeypatch: pytest.MonkeyPatch, urls: list[str], comma: str
) -> None:
    monkeypatch.setenv("REACTOR_DATABASES", comma.join(urls) + ",")
    assert list(load().dsns) == urls


def test_several_servers_are_separated_by_commas(monkeypatch):
    monkeypatch.setenv("REACTOR_DATABASES", "postgres://a/x, postgres://b/x")
    assert load().dsns == ("postgres://a/x", "postgres://b/x")


def test_the_line_end_of_a_secret_that_was_made_of_a_file_is_no_part_of_it(monkeypatch):
    monkeypatch.setenv("REACTOR_DATABASE_URL", "postgresql://u:p@db/crm?sslmode=require\n")
    monkeypatch.setenv("REACTOR_DASHBOARD_TOKEN", "a-token-of-some-length\r\n")
    monkeypatch.setenv("REACTOR_LOG_LEVEL", "debug\n")
    monkeypatch.setenv("REACTOR_REPLICA", "one\n")
    chosen = load()
    assert chosen.dsn == "postgresql://u:p@db/crm?sslmode=require"
    assert chosen.dashboard_token is not None
    assert chosen.dashboard_token.get_secret_value() == "a-token-of-some-length"
    assert (chosen.log_level, chosen.replica) == ("debug", "one")


def test_an_empty_variable_counts_as_absent(monkeypatch):
    monkeypatch.setenv("REACTOR_HTTP_PORT", "")
    assert load().http_port == 8080


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("REACTOR_CONCURRENCY", "many", "whole number"),
        ("REACTOR_CONCURRENCY", "0", "at least 1"),
        ("REACTOR_LEASE_SECONDS", "0.5", "at least 1"),
        ("REACTOR_POLL_SECONDS", "nan", "at most 3600"),
        ("REACTOR_NOTIFY", "sometimes", "'armed', 'always' or 'off'"),
        ("REACTOR_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("REACTOR_WEBHOOK_ALLOW_PRIVATE", "perhaps", "write true or false; the default is false"),
        ("REACTOR_EMAIL_FROM", "acme", "'acme' is not of that form | write name@example.com"),
        ("REACTOR_DATABASE_URL", "mysql://h/d", "postgresql://user:password@host:5432/database"),
        ("DATABASE_URL", "mysql://h/d", "postgresql://user:password@host:5432/database"),
        ("REACTOR_DATABASES", "postgres://a/b,http://c", "separated by commas"),
        ("REACTOR_DATABASES", "postgres://a/b, postgres://c/d,postgres://a/b", "it names a database twice"),
        ("REACTOR_EMAIL_URL", "gopher://h", "smtp://"),
        ("REACTOR_DASHBOARD_TOKEN", "short", "at least 8 characters"),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(monkeypatch, name, value, right):
    text = refusal(monkeypatch, name, value)
    assert text.startswith(f"{name} is wrong: ")
    assert right in text


def test_a_misspelt_setting_is_not_ignored(monkeypatch):
    text = refusal(monkeypatch, "REACTOR_CONCURENCY", "5")
    assert text == "REACTOR_CONCURENCY is not a setting | did you mean REACTOR_CONCURRENCY?"


def test_a_variable_that_kubernetes_makes_for_a_service_is_explained(monkeypatch):
    assert "enableServiceLinks" in refusal(monkeypatch, "REACTOR_HTTP_PORT", "tcp://10.0.0.7:8080")


@pytest.mark.parametrize("unrelated", ["REACTOR_PORT", "REACTOR_SERVICE_HOST", "REACTOR_TEST_DATABASE_URL"])
def test_variables_of_others_do_not_disturb(monkeypatch, unrelated):
    monkeypatch.setenv(unrelated, "tcp://10.0.0.7:8080")
    assert load().http_port == 8080


def test_no_secret_shows_in_a_repr_or_an_error(monkeypatch):
    secret = "hunter2hunter2"
    monkeypatch.setenv("REACTOR_DATABASE_URL", f"postgres://u:{secret}@h/d")
    monkeypatch.setenv("REACTOR_DATABASES", f"postgres://u:{secret}@h/d")
    monkeypatch.setenv("REACTOR_EMAIL_URL", f"resend://{secret}@api.resend.com")
    monkeypatch.setenv("REACTOR_DASHBOARD_TOKEN", secret)
    assert secret not in repr(load())
    assert secret not in str(load().model_dump())
    assert secret not in refusal(monkeypatch, "REACTOR_EMAIL_URL", f"gopher://{secret}@h")
    assert secret not in refusal(monkeypatch, "REACTOR_DATABASE_URL", f"mysql://u:{secret}@h:port/d")


def test_every_setting_is_documented_with_its_default():
    import inspect

    lines = inspect.getsource(Settings).splitlines()
    fields = [number for number, line in enumerate(lines) if line.startswith("    ") and is_field(line)]
    assert len(fields) == len(Settings.model_fields)
    for number in fields:
        above = lines[number - 1].strip()
        grouped = above.startswith("retention_")
        assert above.startswith("#") or grouped, f"{lines[number].strip()} has no comment"


def is_field(line: str) -> bool:
    return line.strip().split(":")[0] in Settings.model_fields


def test_the_variable_of_a_setting_is_its_name_with_the_prefix():
    assert variable("http_port") == "REACTOR_HTTP_PORT"


def test_a_misspelt_setting_of_the_file_is_not_ignored_either(tmp_path):
    (tmp_path / ".env").write_text("SHOP_REACTOR=1\nreactor_concurency=3\n")
    with pytest.raises(SettingError) as refused:
        load()
    assert str(refused.value) == "REACTOR_CONCURENCY (in the file .env) is not a setting"
    assert refused.value.hint == "did you mean REACTOR_CONCURRENCY?"


def test_an_override_that_is_no_setting_is_not_ignored():
    with pytest.raises(SettingError) as refused:
        load(concurency=4)
    assert (str(refused.value), refused.value.hint) == (
        "concurency is not a setting",
        "did you mean concurrency?",
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("REACTOR_LOG_LEVEL error\n", 1),
        ("A=1\n# a comment\nexport B\nREACTOR_EMAIL_URL: smtp://u:sesame@h\nC=2\n", 4),
        ("A=1\nREACTOR_REPLICA='never closed\n", 2),
    ],
)
def test_a_line_of_the_file_that_cannot_be_read_is_not_passed_over(tmp_path, caplog, text, line):
    (tmp_path / ".env").write_text(text)
    with pytest.raises(SettingError) as refused:
        load()
    assert str(refused.value) == f"the file .env cannot be read: line {line} is wrong"
    assert "NAME=value" in refused.value.hint
    assert not caplog.records  # the library says it too, in words of its own


@pytest.mark.parametrize(
    ("wrong", "others"),
    [(1, ""), (2, " (and 1 more setting is wrong)"), (3, " (and 2 more settings are wrong)")],
)
def test_how_many_more_settings_are_wrong_is_said(monkeypatch, wrong, others):
    for name in ("BATCH_SIZE", "CONCURRENCY", "MAX_ATTEMPTS")[:wrong]:
        monkeypatch.setenv(f"REACTOR_{name}", "0")
    with pytest.raises(SettingError) as refused:
        load()
    assert str(refused.value).endswith(f"to 1{others}")


def test_a_database_that_may_be_on_several_servers_is_a_url_with_all_of_them():
    url = "postgresql://u:p@one:5432,two:5433/d?target_session_attrs=read-write"
    assert load(database_url=url).dsn == url
    with pytest.raises(SettingError, match="cannot be read as a URL"):
        load(database_url="postgresql://u:p@one:5432,two:secret/d")
    with pytest.raises(SettingError, match="cannot be read as a URL"):
        load(email_url="smtp://one:25,two:25")
