"""Builds the site of the documents. Run by `make docs`; `--serve` shows it while the documents are written.

The pages are those of the navigation in zensical.toml, at the paths that they have in the repository, so a link
between two of them is the same here and on a code host. What a page links to and the site does not have (a folder
of the repository) is text in it. zensical refuses a link to a page or a heading that is not there; what it does not
look at is looked at here, in the pages as they were built: other files, pictures, and anything of another host.
"""

import argparse
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
#: What a browser fetches of itself, and not when somebody follows it.
FETCHED = {("img", "src"), ("script", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")}


def pages_of(nav: list[dict[str, object]]) -> list[str]:
    """The navigation's pages in its order."""
    found: list[str] = []
    for entry in nav:
        for value in entry.values():
            found += pages_of(value) if isinstance(value, list) else [str(value)]
    return found


def lay_out(root: Path, folder: Path, pages: list[str]) -> None:
    """Puts the pages and their pictures into a folder. A file that is there as it should be is not written:
    whoever watches the folder builds only what changed."""
    files: dict[str, bytes] = {}

    def place(page: str) -> str:
        def target(link: str) -> str:
            return os.path.normpath(os.path.join(os.path.dirname(page), link.partition("#")[0]))  # noqa: PTH118, PTH120

        def linked(match: re.Match[str]) -> str:
            picture, text, link = match.groups()
            path = target(link)
            if urlsplit(link).scheme or link.startswith("#") or path in pages or not (root / path).exists():
                return match[0]
            if picture:
                files[path] = (root / path).read_bytes()
                return match[0]
            return f"`{text}`"

        return LINK.sub(linked, (root / page).read_text())

    for page in pages:
        files[page] = place(page).encode()
    for path, content in files.items():
        file = folder / path
        if not file.exists() or file.read_bytes() != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    for file in [file for file in folder.rglob("*") if file.is_file()]:
        if str(file.relative_to(folder)) not in files:
            file.unlink()


class Page(HTMLParser):
    """What a built page points to, and what can be pointed to in it."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.ids: set[str] = set()
        self.links: list[tuple[str, bool]] = []
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what the tag points to."""
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name in ("href", "src") and value:
                self.links.append((value, (tag, name) in FETCHED))


def mistakes(site: Path) -> Iterator[str]:
    """What is wrong with a built site, a line each."""
    pages = {file: Page(file) for file in sorted(site.rglob("*.html"))}
    for page in pages.values():
        if page.file.name == "404.html":
            continue  # it is shown at any address, so its links begin at the root
        name = page.file.relative_to(site)
        for link, fetched in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if fetched and parts.scheme != "data":
                    yield f"{name}: {link} is fetched from another host"
                continue
            file = (page.file.parent / unquote(parts.path)).resolve() if parts.path else page.file
            file = file / "index.html" if file.is_dir() else file
            heading = unquote(parts.fragment)
            if not file.is_file():
                yield f"{name}: {link} leads nowhere"
            elif heading and file in pages and heading not in pages[file].ids:
                yield f"{name}: {link} leads to no heading of {file.relative_to(site)}"
    for file in sorted(site.rglob("*.css")):
        for link in re.findall(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)", file.read_text()):
            yield f"{file.relative_to(site)}: {link} is fetched from another host"


def main() -> int:
    """Builds or serves; 1 when the site is not as it should be."""
    parser = argparse.ArgumentParser(prog="make docs", description="Builds the site of the documents into site/.")
    parser.add_argument("--serve", action="store_true", help="serve it, and build again what is changed")
    parser.add_argument("--address", default="127.0.0.1:8000", help="where --serve listens [%(default)s]")
    options = parser.parse_args()
    project = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    pages = pages_of(project["nav"])
    folder, site = ROOT / project["docs_dir"], ROOT / project["site_dir"]
    lay_out(ROOT, folder, pages)
    zensical = [sys.executable, "-m", "zensical"]
    if options.serve:
        with subprocess.Popen([*zensical, "serve", "--dev-addr", options.address], cwd=ROOT) as server:
            over = threading.Event()
            threading.Thread(target=lambda: (server.wait(), over.set()), daemon=True).start()
            try:
                while not over.wait(0.5):
                    lay_out(ROOT, folder, pages)
            except KeyboardInterrupt:
                server.terminate()
        return 0
    built = subprocess.run(
        [*zensical, "build", "--clean", "--strict"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if built.returncode:
        # Beneath what is wrong it says where in its own code it gave up.
        print(built.stdout + built.stderr.partition("Traceback (")[0], file=sys.stderr)
        return 1
    wrong = list(mistakes(site))
    for line in wrong:
        print(line, file=sys.stderr)
    if not wrong:
        print(f"docs: {len(pages)} pages, in {site.relative_to(ROOT)}/index.html")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
