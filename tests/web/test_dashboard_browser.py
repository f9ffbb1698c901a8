"""The pages in a real browser: live, on a telephone, by keyboard, and nothing of a stranger's runs."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator

import pytest

from tests.web.conftest import TOKEN, served

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.async_api import Browser, Page, async_playwright, expect

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
#: Of what is drawn in a colour, with its own opacity, to the nearest ground that is not see-through, by WCAG.
CONTRAST = r"""(element, property) => {
  const rgb = (text) => text.match(/[\d.]+/g).map(Number);
  const style = getComputedStyle(element);
  let under = property === "color" ? element : element.parentElement;
  while (rgb(getComputedStyle(under).backgroundColor)[3] === 0) under = under.parentElement;
  const ground = rgb(getComputedStyle(under).backgroundColor);
  const mix = (c, n) => c * style.opacity + ground[n] * (1 - style.opacity);
  const drawn = rgb(style[property]).slice(0, 3).map(mix);
  const light = (color) => [0.2126, 0.7152, 0.0722].reduce((sum, share, n) => {
    const c = color[n] / 255;
    return sum + share * (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  }, 0);
  const [one, other] = [light(drawn), light(ground)].sort((a, b) => b - a);
  return (one + 0.05) / (other + 0.05);
}"""
PAGES = ("/", "/events", "/dead", "/tenants", "/locks", "/alerts", "/replicas", "/kill-switch")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine: apt-get install chromium")
    async with async_playwright() as playwright:
        # As root, which tests in a container often are, it has no sandbox.
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        await started.close()


def complaints_of(page: Page) -> list[str]:
    """What the browser found wrong from now on; a dialog would be a stranger's."""
    found: list[str] = []
    page.on("console", lambda line: found.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on(
        "requestfailed", lambda request: found.append(request.url) if "stream" not in request.url else None
    )

    async def dismiss(dialog):
        found.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    page.on("dialog", dismiss)
    return found


async def test_the_overview_changes_by_itself(operator_url, db, browser):
    tenant = db.tenant("Acme")
    async with served(operator_url) as here:
        page = await browser.new_page()
        complaints = complaints_of(page)
        await page.goto(here.address)
        await expect(page.locator("#live")).to_have_text("live", timeout=20_000)
        await expect(page.locator("#counts")).to_contain_text("0 ready")
        await asyncio.to_thread(db.emit, tenant, "invoice.paid")
        await asyncio.to_thread(db.die, tenant, "invoice.paid")
        await expect(page.locator("#counts")).to_contain_text("1 ready", timeout=40_000)
        await expect(page.locator("#needs")).to_contain_text("1 event is dead.")
        await expect(page.locator("nav[aria-label=Pages]")).to_contain_text("Dead 1")
        await expect(page.locator("nav [aria-current]")).to_have_text("Overview")
        assert complaints == []
        await page.close()
        async with asyncio.timeout(20):
            while here.site.streams.count:
                await asyncio.sleep(0.02)


async def test_nothing_of_a_strangers_runs_and_no_page_is_wider_than_a_telephone(operator_url, db, browser):
    tenant = db.tenant(HOSTILE * 5)
    db.enlist(
        "replica-" + "x" * 150, HOSTILE, *(f"a.rather.long.name.of.an.event.type.{n}" for n in range(40))
    )
    ids = [db.emit(tenant, HOSTILE), db.die(tenant, "x" * 200)]
    db.claim("replica-" + "x" * 150)
    db.value(
        "insert into public.agent_alerts (tenant_id, alert_type, severity, message) "
        "values ($1, $2, 'critical', $2) returning 1",
        tenant,
        HOSTILE,
    )
    db.value("select is_on from reactor.set_kill_switch(true, $1)", HOSTILE)
    async with served(operator_url) as here:
        for width, scheme in ((390, "light"), (1280, "dark")):
            context = await browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page = await context.new_page()
            complaints = complaints_of(page)
            hosts: set[str] = set()
            page.on("request", lambda request, seen=hosts: seen.add(request.url.split("/")[2]))
            for path in (*PAGES, *(f"/events/{id_}" for id_ in ids)):
                await page.goto(here.address + path)
                await expect(page.locator("#live")).to_have_text("live", timeout=20_000)
                over = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
                assert over <= 0, (path, width)
            assert complaints == []
            assert hosts == {here.address.removeprefix("http://")}
            await context.close()


async def test_dead_events_are_replayed_with_the_keyboard_alone(operator_url, db, browser):
    tenant = db.tenant("Acme")
    for _ in range(3):
        db.die(tenant, "invoice.paid")
    async with served(operator_url) as here:
        page = await browser.new_page()
        await page.goto(f"{here.address}/dead")
        await page.keyboard.press("Tab")
        await expect(page.locator("a.skip")).to_be_focused()
        await page.get_by_label("All on this page").focus()
        await page.keyboard.press("Space")
        await page.get_by_role("button", name="Replay the chosen").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator(".note")).to_contain_text("3 events replayed")
        await expect(page.locator("main")).to_contain_text("No event is dead.")


async def test_without_a_script_a_person_logs_in_and_stops_everything(operator_url, db, browser):
    db.value("select is_on from reactor.set_kill_switch(false)")
    async with served(operator_url, token=TOKEN) as here:
        context = await browser.new_context(java_script_enabled=False)
        page = await context.new_page()
        await page.goto(f"{here.address}/kill-switch")
        await page.get_by_label("Token").fill(TOKEN)
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_label("Why").fill("wrong prices")
        await page.get_by_role("button", name="Stop everything").click()
        await expect(page.locator(".note")).to_contain_text("The kill switch is on: wrong prices.")
        await expect(page.locator(".strip")).to_contain_text("The kill switch is ON: wrong prices")
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_label("Token")).to_be_visible()
    assert db.value("select value ->> 'kill_switch_reason' from public.system_config") == "wrong prices"


async def test_times_are_exact_in_the_readers_zone(operator_url, db, browser):
    event = db.die(db.tenant("Acme"), ago="2 h")
    day = db.value(
        "select to_char(died_at at time zone 'America/New_York', 'Mon FMDD, YYYY') "
        "from reactor.dead_events where id = $1",
        event,
    )
    async with served(operator_url) as here:
        context = await browser.new_context(timezone_id="America/New_York", locale="en-US")
        page = await context.new_page()
        await page.goto(f"{here.address}/dead")
        time = page.locator("td[data-name=died] time")
        await expect(time).to_have_attribute("title", re.compile(f"^{day}.* (EST|EDT)\n2"))
        await context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_small_print_and_the_borders_of_fields_stand_out_enough(scheme, operator_url, db, browser):
    db.die(db.tenant("Acme"), "invoice.paid")
    async with served(operator_url) as here:
        context = await browser.new_context(color_scheme=scheme)
        page = await context.new_page()
        await page.goto(here.address)
        assert await page.locator(".zero").first.evaluate(CONTRAST, "color") >= 4.5
        await page.goto(f"{here.address}/dead")
        assert await page.locator("#tenant").evaluate(CONTRAST, "borderTopColor") >= 3
        await context.close()


async def test_a_command_in_a_sentence_is_set_apart_and_nothing_else_is(operator_url, db, browser):
    event = db.die(db.tenant("Acme"), "invoice.paid")
    db.value(
        "update reactor.dead_events set reason = '`reactor <b>x</b>`' where id = $1 returning true", event
    )
    async with served(operator_url) as here:
        page = await browser.new_page()
        await page.goto(f"{here.address}/events/{event}")
        assert await page.locator(".lead code").all_inner_texts() == [
            "reactor <b>x</b>",
            f"reactor dead replay {event}",
        ]
        assert await page.locator(".lead b").count() == 0
