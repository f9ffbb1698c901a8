#!/usr/bin/env bash
# Makes .venv with the package and all tools in it. Called by make; says little unless it fails.
# With an argument: adds that extra of pyproject.toml, which most who make .venv do not need.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
wanted=(--editable '.[demo,dev]')
log=$(mktemp)
trap 'rm -f "$log"' EXIT

fail() {
    echo "make: $1" >&2
    [ -s "$log" ] && tail -n 20 "$log" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "there is no $python; install Python 3.11 or newer, or set PYTHON"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old: 3.11 or newer is needed (make PYTHON=python3.11)"

if [ $# -gt 0 ]; then
    # Its packages alone: to install ours anew takes longer than they do.
    mapfile -t wanted < <("$python" -c '
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["project"]["optional-dependencies"][sys.argv[1]], sep="\n")' "$1")
fi

echo "make: preparing .venv${1:+ for $1} (once, and when pyproject.toml changes)…" >&2
if command -v uv >/dev/null; then
    [ -x .venv/bin/python ] || uv venv --quiet --python "$python" .venv >"$log" 2>&1 || fail 'uv venv failed'
    uv pip install --quiet --python .venv/bin/python "${wanted[@]}" >"$log" 2>&1 || fail 'uv pip install failed'
else
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        rm -rf .venv
        # Debian splits ensurepip off into python3-venv; virtualenv brings its own pip.
        if "$python" -c 'import ensurepip' 2>/dev/null; then
            "$python" -m venv .venv >"$log" 2>&1 || fail 'python3 -m venv failed'
        elif "$python" -m virtualenv --version >/dev/null 2>&1; then
            "$python" -m virtualenv --quiet .venv >"$log" 2>&1 || fail 'virtualenv failed'
        elif "$python" -m pip --version >/dev/null 2>&1; then
            # pip can install into an environment that has none of its own.
            "$python" -m venv --without-pip .venv >"$log" 2>&1 || fail 'python3 -m venv failed'
            "$python" -m pip --quiet --python .venv/bin/python install pip >"$log" 2>&1 || fail 'pip failed'
        else
            fail 'this python3 cannot make environments; on Debian and Ubuntu: apt-get install python3-venv (or install uv)'
        fi
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "${wanted[@]}" >"$log" 2>&1 ||
        fail 'pip install failed'
fi
touch ".venv/.${1:-made}"
