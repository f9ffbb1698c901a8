"""Builds the site of the documents. Run by `make docs`; `--serve` shows it while the documents are written.

The pages are those of the navigation in zensical.toml, at the paths that they have in the repository, so a
link between two of them is the same here and on a code host. What a page links to and the site does not have
(a folder of the repository) is text in it. zensical refuses a link to a page or a heading that is not there;
what it does not look at is looked at here, in the pages as they were built: other files, pictures, and
anything that is fetched from another host.
"""

import argparse
import posixpath
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
#: What a browser fetches of itself, and not when somebody follows it.
FETCHED = {("img", "src"), ("script", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")}


@dataclass(frozen=True, slots=True)
class Project:
    """What zensical.toml says of the site."""

    titles: dict[str, str]
    """The navigation's pages in its order, and how it calls them."""
    assets: tuple[str, ...]
    laid_out: str
    site: str

    @classmethod
    def load(cls, root: Path) -> Self:
        """From the file in this folder."""
        project = tomllib.loads((root / "zensical.toml").read_text())["project"]
        theme = project["theme"]
        return cls(
            titles=dict(titles_of(project["nav"])),
            assets=(*project["extra_css"], theme["favicon"], theme["logo"]),
            laid_out=project["docs_dir"],
            site=project["site_dir"],
        )


def titles_of(nav: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """The pages of a navigation or of a part of it, each with its title."""
    for entry in nav:
        for title, value in entry.items():
            if isinstance(value, list):
                yield from titles_of(value)
            else:
                yield value, title


def lay_out(root: Path, project: Project) -> None:
    """Puts the pages and what they show into the folder that is built from.

    A file that is there as it should be is not written: whoever watches the folder builds only what changed.
    """
    files = {path: (root / path).read_bytes() for path in project.assets}

    def place(page: str) -> str:
        def linked(match: re.Match[str]) -> str:
            picture, text, link = match.groups()
            path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link.partition("#")[0]))
            if urlsplit(link).scheme or link.startswith("#") or not (root / path).exists():
                return match[0]
            if picture:
                files[path] = (root / path).read_bytes()
                return match[0]
            if path not in project.titles:
                return f"`{text}`"
            # Who reads the repository wants a page's file, who reads the site its title.
            return f"[{project.titles[path]}]({link})" if path.endswith(text) else match[0]

        return LINK.sub(linked, (root / page).read_text())

    for page in project.titles:
        files[page] = place(page).encode()
    folder = root / project.laid_out
    for path, content in files.items():
        file = folder / path
        if not file.exists() or file.read_bytes() != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    for file in [file for file in folder.rglob("*") if file.is_file()]:
        if file.relative_to(folder).as_posix() not in files:
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
        name = page.file.relative_to(site)
        for link, fetched in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if fetched and parts.scheme != "data":
                    yield f"{name}: {link} is fetched from another host"
                continue
            if parts.path.startswith("/") and page.file.name == "404.html":
                continue  # it is shown at any address, so it alone names files from the root
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
    parser = argparse.ArgumentParser(
        prog="make docs", description="Builds the site of the documents into site/."
    )
    parser.add_argument("--serve", action="store_true", help="serve it, and build again what is changed")
    parser.add_argument("--address", default="127.0.0.1:8000", help="where --serve listens [%(default)s]")
    options = parser.parse_args()
    root = Path(__file__).parents[1]
    return serve(root, options.address) if options.serve else build(root)


def build(root: Path) -> int:
    """Builds the site of this folder; 1 when something in it is wrong, said on stderr."""
    project = Project.load(root)
    lay_out(root, project)
    zensical = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    built = subprocess.run(zensical, cwd=root, capture_output=True, text=True, check=False)
    if built.returncode:
        # Beneath what is wrong it says where in its own code it gave up.
        print(built.stdout + built.stderr.partition("Traceback (")[0], file=sys.stderr)
        return 1
    wrong = list(mistakes(root / project.site))
    for line in wrong:
        print(line, file=sys.stderr)
    if not wrong:
        print(f"docs: {len(project.titles)} pages, in {project.site}/index.html")
    return 1 if wrong else 0


def serve(root: Path, address: str) -> int:
    """Until it is interrupted. zensical watches what is laid out, this what it is laid out from."""
    project = Project.load(root)
    lay_out(root, project)
    zensical = [sys.executable, "-m", "zensical", "serve", "--dev-addr", address]
    with subprocess.Popen(zensical, cwd=root) as server:
        try:
            while server.poll() is None:
                time.sleep(0.5)
                lay_out(root, project)
        except KeyboardInterrupt:
            server.terminate()
            return 0
    return server.returncode


if __name__ == "__main__":
    sys.exit(main())
