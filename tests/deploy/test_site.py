"""`make docs`: the site is built, a dead link in it fails the build, and it asks nothing of another host."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tools import docs

pytest.importorskip("zensical", reason="zensical is not installed, as `make docs` does")
pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.async_api import Browser, Route, async_playwright, expect

ROOT = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: the test says what was asked for."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The documents in a folder of their own, with what they show and link to."""
    project = docs.Project.load(ROOT)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for path in ("zensical.toml", "LICENSE", "benchmarks/results.svg", *project.titles, *project.assets):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    (tmp_path / "deploy" / "kubernetes").mkdir(parents=True)
    return tmp_path


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine: apt-get install chromium")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        await started.close()


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ("[a page](docs/gone.md)", "page does not exist"),
        ("[a heading](docs/cli.md#gone)", "anchor does not exist"),
        ("[a file](examples/gone.py)", "index.html: examples/gone.py leads nowhere"),
    ],
)
def test_a_link_that_leads_nowhere_fails_the_build(
    checkout: Path, capsys: pytest.CaptureFixture[str], link: str, told: str
) -> None:
    with (checkout / "README.md").open("a") as page:
        page.write(f"\n{link}\n")
    assert docs.build(checkout) == 1
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said


async def test_the_site_asks_nothing_of_another_host_and_can_be_searched(
    checkout: Path, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    assert docs.build(checkout) == 0, capsys.readouterr().err
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=checkout / "site"))
    serving = asyncio.create_task(asyncio.to_thread(server.serve_forever))
    try:
        here = f"http://127.0.0.1:{server.server_port}/"
        elsewhere: list[str] = []

        async def only_here(route: Route) -> None:
            if route.request.url.startswith((here, "data:", "blob:")):
                await route.continue_()
            else:
                elsewhere.append(route.request.url)
                await route.abort()

        page = await browser.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "response", lambda got: wrong.append(f"{got.status} {got.url}") if got.status >= 400 else None
        )
        await page.context.route("**/*", only_here)
        # The other pages' tags are read by build(); what scripts ask for is the same on all of them.
        for file in ("docs/sql.html", "benchmarks/index.html"):
            await page.goto(f"{here}{file}", wait_until="networkidle")
        await page.goto(here)
        await page.get_by_role("button", name="Search").first.click()
        await page.keyboard.type("kill-switch")
        await expect(page.get_by_text("Who may act").first).to_be_visible()
        assert (elsewhere, wrong) == ([], [])
    finally:
        server.shutdown()
        await serving
        server.server_close()
