"""One PostgreSQL server process of ours: start, watch, stop, kill. See ``embedded`` for its directory.

When the process that started it dies hard, a watchdog (a shell that waits on a pipe) stops the
server. If even that is killed, the next start finds the server by its lock and cleans up.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

from reactor.db.binaries import Account, give, run_as
from reactor.errors import ReactorError

_PORT_OF_SOCKET = 5432  # only names the socket file; nothing listens there unless TCP is asked for
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


class EmbeddedServer:
    """One server and its directory. Not thread-safe; every method blocks."""

    def __init__(
        self,
        base: Path,
        bin_dir: Path,
        account: Account | None,
        tcp_port: int | None,
        settings: Mapping[str, str],
        *,
        temporary: bool,
    ) -> None:
        self.base = base
        self.bin_dir = bin_dir
        self.tcp_port = tcp_port
        self._account = account
        self._settings = dict(settings)
        self._temporary = temporary
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def data_dir(self) -> Path:
        """The cluster itself."""
        return self.base / "data"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.base / "server.log"

    @property
    def socket_dir(self) -> Path:
        """Where the unix socket is; a path longer than sun_path allows moves to the temp folder."""
        own = self.base / "run"
        if len(os.fsencode(own)) <= 80:
            return own
        return Path(tempfile.gettempdir()) / f"rx-{os.getuid()}-{_hash_of(self.base)}"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def password(self) -> str:
        """The superuser's password, needed over TCP only."""
        return (self.base / "password").read_text().strip()

    def url(self, dbname: str = "postgres", *, user: str = "postgres", tcp: bool = False) -> str:
        """A libpq URL. Over TCP it carries the superuser's password."""
        if not tcp:
            host = quote(str(self.socket_dir), safe="")
            return f"postgresql://{user}@/{quote(dbname)}?host={host}&port={self._port}"
        if self.tcp_port is None:
            raise ReactorError("this embedded server was started without a TCP port")
        password = f":{self.password}" if user == "postgres" else ""
        return f"postgresql://{user}{password}@127.0.0.1:{self.tcp_port}/{quote(dbname)}"

    def start(self) -> None:
        """Starts the server, again after :meth:`stop` or :meth:`kill`, and waits until it is ready."""
        if self.pid is not None:
            return
        self._take_lock()
        self._stop_stale()
        if not (self.data_dir / "PG_VERSION").exists():
            self._initdb()
        self._make_socket_dir()
        deadline = time.monotonic() + _START_SECONDS
        # After a SIGKILL the children of the old postmaster may hold its memory for a moment.
        while not self._launch(deadline):
            tail = self._log_tail()
            if "shared memory block" not in tail or time.monotonic() > deadline:
                raise ReactorError(f"the embedded server did not start: {tail}", hint=f"see {self.log}")
            time.sleep(0.1)
        self._watch()

    def stop(self, *, immediate: bool = False) -> None:
        """Stops the server (its sessions are ended); a temporary directory is removed."""
        self._end_watchdog()
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._drop_lock()
        if self.socket_dir != self.base / "run":
            shutil.rmtree(self.socket_dir, ignore_errors=True)
        if self._temporary:
            shutil.rmtree(self.base, ignore_errors=True)

    def clean_up(self) -> None:
        """Ends the server of a temporary directory whose owner is gone, and removes the directory.

        Raises ReactorError when the owner lives.
        """
        self._take_lock()
        self._stop_stale()
        self.stop(immediate=True)

    def kill(self) -> None:
        """SIGKILL to the postmaster, as a power cut would: what is on disk is what recovery finds."""
        self._end_watchdog()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _port(self) -> int:
        return self.tcp_port or _PORT_OF_SOCKET

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=_environment(),
            **run_as(self._account),
        )

    def _initdb(self) -> None:
        shutil.rmtree(self.data_dir, ignore_errors=True)
        password = self.base / "password"
        password.write_text(secrets.token_urlsafe(24) + "\n")
        password.chmod(0o600)
        give(password, self._account)
        done = self._run(
            str(self.bin_dir / "initdb"),
            *("-D", str(self.data_dir), "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}", "--no-instructions"),
        )
        if done.returncode != 0:
            shutil.rmtree(self.data_dir, ignore_errors=True)
            raise ReactorError(f"initdb failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")

    def _make_socket_dir(self) -> None:
        try:
            self.socket_dir.mkdir(mode=0o700)
        except FileExistsError:
            # The one in the temp folder has a name that others can foresee.
            state = self.socket_dir.lstat()
            owners = {os.geteuid(), self._account.uid if self._account else os.geteuid()}
            if not stat.S_ISDIR(state.st_mode) or state.st_uid not in owners:
                raise ReactorError(
                    f"{self.socket_dir} belongs to somebody else",
                    hint="remove it, or choose a shorter directory",
                ) from None
        give(self.socket_dir, self._account)

    def _launch(self, deadline: float) -> bool:
        options = {
            "listen_addresses": "" if self.tcp_port is None else "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": str(self.socket_dir),
            **self._settings,
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [str(self.bin_dir / "postgres"), "-D", str(self.data_dir), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(),
                # Ctrl-C in a terminal is for us: we drain first and then stop the server.
                start_new_session=True,
                **run_as(self._account),
            )
        while process.poll() is None and time.monotonic() < deadline:
            if self._is_ready(process.pid):
                self._process = process
                return True
            time.sleep(0.02)
        if process.poll() is None:
            process.kill()
            process.wait()
        return False

    def _is_ready(self, pid: int) -> bool:
        lines = _pid_file(self.data_dir)
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _watch(self) -> None:
        # The shell's stdin is a pipe that only we hold open: end of file means that we are gone.
        script = 'read -r _ || { p=$(head -n 1 "$1") && kill -INT "$p"; }'
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", script, "reactor-pg-watchdog", str(self.data_dir / "postmaster.pid")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **run_as(self._account),
        )

    def _end_watchdog(self) -> None:
        if self._watchdog is not None:
            self._watchdog.kill()
            self._watchdog.wait()
            if self._watchdog.stdin:
                self._watchdog.stdin.close()
            self._watchdog = None

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        handle = os.open(self.base / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise ReactorError(
                f"another process already runs the embedded server of {self.base}",
                hint="stop it first, or choose another directory",
            ) from None
        self._lock = handle

    def _drop_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _stop_stale(self) -> None:
        """We hold the lock, so a server that still runs here lost its owner."""
        if _server_runs(self.data_dir):
            pg_ctl = str(self.bin_dir / "pg_ctl")
            self._run(pg_ctl, "stop", "-D", str(self.data_dir), "-m", "fast", "-w", "-t", "10")
            self._run(pg_ctl, "stop", "-D", str(self.data_dir), "-m", "immediate", "-w", "-t", "10")
        elif (pid := _pid_in_file(self.data_dir)) is not None and _is_alive(pid):
            # The pid is another program's by now; the server would not start for fear of it. A pid
            # file whose process is gone stays: it tells the server of children that may be left.
            (self.data_dir / "postmaster.pid").unlink(missing_ok=True)

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return " / ".join(lines[-3:])


def _hash_of(path: Path) -> str:
    """A short, stable name for a path."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _pid_file(data_dir: Path) -> list[str]:
    try:
        return (data_dir / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def _server_runs(data_dir: Path) -> bool:
    """Whether the pid file names a live postmaster of this very directory, not a reused pid."""
    pid = _pid_in_file(data_dir)
    if pid is None or not _is_alive(pid):
        return False
    if not Path("/proc/self").exists():
        return True
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == data_dir.resolve()
    except OSError:
        return False


def _pid_in_file(data_dir: Path) -> int | None:
    lines = _pid_file(data_dir)
    return int(lines[0]) if lines and lines[0].isdecimal() else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return True


def _environment() -> dict[str, str]:
    # PG* variables of the caller would move the port or the data directory under our feet.
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
