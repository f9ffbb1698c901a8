"""The pages say how to add a policy and an automation: the very lines that stand there are tried."""

import re
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest

from reactor.automation import policies
from reactor.testing import DatabaseClock, drain
from tests.automation.company import Company, automations
from tests.automation.providers import Postbox, smtp_server

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def code_with(text: str) -> str:
    [found] = [code for code in CODE if text in code]
    return found


async def test_the_documented_policy_blocks_what_it_says_and_is_recorded_by_its_name(
    conn, database_url, monkeypatch
):
    code = code_with("POLICIES:").replace("{...,", "{**POLICIES,")
    assert len(code_with("POLICIES:").strip().splitlines()) <= 10
    module = ModuleType("extended")
    module.__dict__.update(vars(policies))
    exec(code, module.__dict__)
    monkeypatch.setattr(policies, "POLICIES", module.__dict__["POLICIES"])

    company = await Company.found(conn, email_mode="send")
    for address in ("info@widgets.test", "ada@widgets.test"):
        await company.overdue(contact=await company.contact(address))
    postbox = Postbox()
    async with smtp_server(postbox) as port:
        await drain(automations(), database_url, email_url=f"smtp://127.0.0.1:{port}")

    assert postbox.recipients == ["ada@widgets.test"]
    [violation] = await company.violations()
    assert (violation["violation_type"], violation["reason"]) == (
        "shared_mailbox",
        "info@ is nobody's own address",
    )
    assert (await company.run_totals())["blocked"] == 1


@pytest.mark.parametrize("overdue", [False, True])
async def test_the_documented_automation_asks_the_policies_acts_and_counts(conn, database_url, overdue):
    module = ModuleType("documented")
    exec(code_with("client.created"), module.__dict__)
    app = module.__dict__["app"]
    await conn.execute("select reactor.watch('public.clients', 'client.created')")
    company = await Company.found(conn)
    clock = DatabaseClock(conn)
    await clock.stop()
    if overdue:
        await company.overdue(contact=await company.contact(None))
    for n in range(12):  # research has ten places an hour
        await company.client(f"Client {n}")

    await drain(app, database_url)
    cards = [card for card in await company.cards() if card["type"] == "research"]
    kinds = {violation["violation_type"] for violation in await company.violations()}
    if overdue:
        assert cards == []
        assert kinds == {"research_before_exhaustion"}
        assert await company.waiting("client.created") == []
        return
    assert len(cards) == 10
    assert kinds == {"rate_limit"}
    assert await company.run_totals() == {
        "planned": 12,
        "executed": 10,
        "blocked": 2,
        "emails_sent": 0,
        "cards": 0,
    }

    await clock.advance(timedelta(hours=1))
    await drain(app, database_url)
    cards = [card for card in await company.cards() if card["type"] == "research"]
    assert len({card["client_id"] for card in cards}) == 12
    assert len(await company.violations()) == 2
