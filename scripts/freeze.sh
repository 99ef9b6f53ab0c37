#!/usr/bin/env bash
# Writes constraints.txt from what .venv holds, without local versions such as +cpu.
set -euo pipefail
cd "$(dirname "$0")/.."
{
    echo "# The exact set of packages that the tests ran with; written by scripts/freeze.sh."
    echo "# Universal: no local versions, so that each machine takes its own build of torch. Packages that only other"
    echo "# platforms need (colorama, nvidia-*, triton ...) are held by those that ask for them."
    .venv/bin/python -m pip list --format=freeze --exclude-editable 2>/dev/null | sed -E 's/\+[a-z0-9.]+$//' | grep -v -E "^(flux-workbench|pip|wheel)[ =]"
} > constraints.txt.new
mv constraints.txt.new constraints.txt
