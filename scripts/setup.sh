#!/usr/bin/env bash
# Makes .venv with the pinned dependencies and this project, editable. Does nothing when it already holds them.
set -euo pipefail
cd "$(dirname "$0")/.."

find_python() {
    local name
    for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "Python 3.11, 3.12 or 3.13 is needed and was not found. Install one, or name it: make setup PYTHON=/path/to/python3" >&2
    return 1
}

# What the environment depends on: the two files, and where the folder lies (scripts in .venv hold its path).
wanted() {
    "$1" -c 'import hashlib, pathlib, sys
files = ("pyproject.toml", "constraints.txt")
print(hashlib.sha256(b"".join(pathlib.Path(f).read_bytes() for f in files) + str(pathlib.Path.cwd()).encode()).hexdigest())'
}

stamp=.venv/.flux-workbench-stamp
if [[ -x .venv/bin/python && -f $stamp && "$(cat $stamp)" == "$(wanted .venv/bin/python)" ]]; then
    exit 0
fi

if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    python=$(find_python)
    echo "Making .venv with $("$python" --version) ..."
    if ! "$python" -m venv --clear .venv >/dev/null; then
        rm -rf .venv
        echo "$python cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    fi
fi

echo "Installing the pinned dependencies (a few minutes the first time) ..."
# -qq leaves only errors: a pip that reads extra package folders warns about each of them for each package.
.venv/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
wanted .venv/bin/python > $stamp
echo "Ready: .venv"
