#!/usr/bin/env bash
# Runs the whole test suite; installs Chromium and PostgreSQL for it where that is possible. Arguments go to pytest.
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

have_postgres() {
    compgen -G '/usr/lib/postgresql/*/bin/pg_ctl' || command -v pg_ctl
} >/dev/null

install() {  # Debian packages, where this machine lets us
    command -v apt-get >/dev/null || return 1
    local root=()
    if [[ $(id -u) -ne 0 ]]; then
        sudo -n true 2>/dev/null || return 1
        root=(sudo -n)
    fi
    echo "Installing for the tests: $* ..."
    "${root[@]}" apt-get -qq update </dev/null >/dev/null &&
        DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get -qq install --yes --no-install-recommends "$@" \
            </dev/null >/dev/null
}

# Tests of a real PostgreSQL start a server of their own, and are skipped with a reason where there is none.
have_postgres || install postgresql || echo "PostgreSQL cannot be installed from here; its tests are skipped." >&2

missing="NO BROWSER TESTS: Chromium is not installed and cannot be installed from here (apt-get install chromium)."
if have_browser || { install chromium fonts-dejavu-core && have_browser; }; then
    exec .venv/bin/python -m pytest "${across[@]}" "$@" </dev/null
fi
echo "$missing" >&2
status=0
.venv/bin/python -m pytest "${across[@]}" -m "not browser" "$@" </dev/null || status=$?
echo "$missing" >&2
exit $status
