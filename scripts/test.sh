#!/usr/bin/env bash
# Runs the whole test suite; installs Chromium for the browser tests where that is possible. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

# Threads that wait for their siblings sleep instead of spinning: beside other work the suite is several times faster.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

# One process a core, a file at a time; two processes of several threads each would wait for each other.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
cores=$(env -u OMP_NUM_THREADS nproc 2>/dev/null || echo 2)  # nproc takes that variable for the number of cores
across=(-n "$cores" --dist loadfile)
[[ " $* " == *" -n "* || " $* " == *" -n0 "* ]] && across=()

have_browser() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
} >/dev/null

install_browser() {
    command -v apt-get >/dev/null || return 1
    local root=()
    if [[ $(id -u) -ne 0 ]]; then
        sudo -n true 2>/dev/null || return 1
        root=(sudo -n)
    fi
    echo "Installing Debian's Chromium for the browser tests ..."
    "${root[@]}" apt-get -qq update </dev/null >/dev/null &&
        DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get -qq install --yes --no-install-recommends \
            chromium fonts-dejavu-core </dev/null >/dev/null
}

missing="NO BROWSER TESTS: Chromium is not installed and cannot be installed from here (apt-get install chromium)."
if have_browser || { install_browser && have_browser; }; then
    exec .venv/bin/python -m pytest "${across[@]}" "$@" </dev/null
fi
echo "$missing" >&2
status=0
.venv/bin/python -m pytest "${across[@]}" -m "not browser" "$@" </dev/null || status=$?
echo "$missing" >&2
exit $status
