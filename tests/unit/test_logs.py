"""What the log shows and what it never shows."""

import io
import logging
import sys

import orjson
import pytest
import structlog

from reactor.settings import Settings
from reactor.telemetry import logs

SECRET = "kangaroo-42"


@pytest.fixture(autouse=True)
def as_before():
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


@pytest.fixture
def log_of(monkeypatch):
    """Configures from settings, runs a function, returns the lines on stderr."""

    def run(action, **settings) -> list[str]:
        err = io.StringIO()
        monkeypatch.setattr(sys, "stderr", err)
        logs.configure(
            Settings(
                **{
                    "database_url": f"postgresql://me:{SECRET}@db/crm",
                    "dashboard_token": "token-of-the-dashboard",
                    "email_url": "resend://re_123456789@api.resend.com",
                    "log_format": "json",
                }
                | settings
            )
        )
        action(structlog.get_logger("test"))
        return err.getvalue().splitlines()

    return run


def test_json_is_one_object_a_line_with_time_level_and_fields(log_of):
    (line,) = log_of(lambda log: log.info("run_done", events=3))
    found = orjson.loads(line)
    assert found.pop("timestamp").endswith("Z")
    assert found == {"event": "run_done", "level": "info", "events": 3}


def test_the_level_is_a_floor(log_of):
    def speak(log):
        log.info("small")
        log.warning("large")

    assert [orjson.loads(line)["event"] for line in log_of(speak, log_level="warning")] == ["large"]


def test_libraries_log_the_same_way(log_of):
    (line,) = log_of(lambda _: logging.getLogger("some.library").warning("pool %s", "exhausted"))
    found = orjson.loads(line)
    assert found["event"] == "pool exhausted"
    assert found["logger"] == "some.library"


@pytest.mark.parametrize("library", ["uvicorn.error", "uvicorn.access", "httpx2"])
def test_libraries_that_talk_of_every_step_are_heard_from_warnings_on(log_of, library, monkeypatch):
    # A server that ran in this process before keeps its lines about requests to itself.
    monkeypatch.setattr(logging.getLogger(library), "propagate", True)

    def speak(_):
        logging.getLogger(library).info("Started server process [%d]", 7)
        logging.getLogger(library).warning("too many")

    assert [orjson.loads(line)["event"] for line in log_of(speak)] == ["too many"]


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "speak",
    [
        lambda log: log.info("connecting", url=f"postgresql://me:{SECRET}@db/crm"),
        lambda log: log.info("connecting", words=["with", {"deep": f"is {SECRET}"}]),
        lambda log: log.info(str(["said", SECRET])),
        lambda log: log.info("sending", to="resend://re_123456789@api.resend.com"),
        lambda log: log.info("asked", header="Bearer token-of-the-dashboard"),
        lambda log: logging.getLogger("library").error("cannot reach postgresql://me:%s@db/crm", SECRET),
    ],
)
def test_secrets_of_the_settings_never_show(log_of, speak, log_format):
    text = "\n".join(log_of(speak, log_format=log_format))
    assert "***" in text
    for secret in (SECRET, "re_123456789", "token-of-the-dashboard"):
        assert secret not in text


@pytest.mark.parametrize("shown", ["cr%40zy%2Fp%23ss", "cr@zy/p#ss"])
def test_a_password_is_hidden_as_the_url_has_it_and_as_the_server_gets_it(log_of, shown):
    url = "postgresql://me:cr%40zy%2Fp%23ss@db/crm"
    (line,) = log_of(lambda log: log.info("said", words=f"with {shown}"), database_url=url)
    assert orjson.loads(line)["words"] == "with ***"


@pytest.mark.parametrize("key", ["password", "api_key", "webhook_secret", "Authorization", "listen_url"])
def test_what_a_key_calls_a_secret_is_hidden(log_of, key):
    (line,) = log_of(lambda log: log.info("x", **{key: "something else"}))
    assert orjson.loads(line)[key] == "***"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_is_shown_without_secrets_and_local_variables(log_of, log_format):
    def fail(log):
        local = "a-value-of-a-local-variable".upper()
        try:
            raise RuntimeError(f"cannot log in with {SECRET}")
        except RuntimeError:
            log.exception("failed")
        assert local

    text = "\n".join(log_of(fail, log_format=log_format))
    assert "RuntimeError: cannot log in with ***" in text
    assert "Traceback" in text
    assert "A-VALUE-OF-A-LOCAL-VARIABLE" not in text
    assert SECRET not in text


class Unreadable:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_whoever_logs_a_thing_without_a_text_does_not_fail_because_of_it(log_of, log_format):
    text = "\n".join(
        log_of(lambda log: log.info("x", one=Unreadable(), many=[Unreadable()]), log_format=log_format)
    )
    assert text.count("<Unreadable>") == 2
