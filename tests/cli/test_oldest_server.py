"""What an operator uses works on the oldest server that is supported, too."""

import pytest

from tests.conftest import migrate_database
from tests.operators import Database, as_role, login


@pytest.fixture
def old(pg15):
    name = pg15.create()
    migrate_database(pg15.url(name))
    yield Database(pg15.url(name))
    pg15.drop(name)


def test_every_command_of_an_operator_works(cli, old, pg15):
    login(pg15, "operator_old", "in role reactor")
    url = as_role(old.url, "operator_old")
    try:
        tenant = old.tenant()
        dead, waiting = old.die(tenant), old.emit(tenant)
        old.enlist("alive", "invoice.paid")
        old.claim("alive")
        for words in (
            ["doctor"],
            ["status"],
            ["emit", tenant, "x"],
            ["watches"],
            ["dead", "list"],
            ["dead", "show", dead],
            ["dead", "replay", dead],
            ["explain", waiting],
            ["events", "trace", waiting],
            ["tenants", "list"],
            ["tenants", "disable", tenant],
            ["kill-switch", "on", "--reason", "a test"],
            ["alerts", "list"],
            ["locks", "list"],
            ["locks", "release", tenant, "--force"],
            ["health", "--via", "database"],
        ):
            env = {"REACTOR_REPLICA": "alive"} if words[0] == "health" else None
            said = cli(*words, url=url, env=env)
            assert said.code == 0, (words, said)
    finally:
        pg15.admin("drop role operator_old")
