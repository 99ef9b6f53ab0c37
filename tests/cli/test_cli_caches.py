"""`workbench models caches`, and the caches in `models features` and `doctor`."""

from __future__ import annotations

import json
from typing import Any

from workbench.engine.doctor import caches
from workbench.models.families import FAMILIES
from workbench.recipe.approximate import METHODS
from workbench.settings import Settings

SMALL = ("--steps", "5", "--size", "64", "--prompt", "a red circle")


def test_caches_are_measured(cli: Any) -> None:
    mode = "taylorseer:interval=3:warmup=1"
    done = cli("models", "caches", "klein-nano-base", *SMALL, "--cache", mode, "--json")
    found = json.loads(done.stdout)
    exact, cached = found["caches"]
    assert (exact["cache"], exact["work"], exact["worst"]) == (None, 1, 100)
    assert cached["cache"] == "taylorseer-1:interval=3:order=1:warmup=1:lite=0"
    assert cached["work"] < 1
    assert 5 < cached["worst"] < 100


def test_ratios_are_printed_as_a_mode_that_draws(cli: Any) -> None:
    mode = cli("models", "caches", "klein-nano-base", *SMALL, "--calibrate").stdout.strip()
    assert mode.startswith("magcache:ratios=1/")
    told = cli("generate", "--prompt", "a red circle", "--set", f"cache={mode}", *("--set", "steps=5"), "--json")
    assert json.loads(told.stdout)["recipe"]["cache"].startswith(
        "magcache-1:threshold=0.06:skip=3:retention=0.2:ratios="
    )


def test_what_takes_no_cache_is_refused(cli: Any) -> None:
    done = cli("generate", "--prompt", "a red circle", "--set", "cache=first_block")
    assert done.exit_code == 2
    assert "klein-nano-base takes no first_block cache" in done.stderr
    assert "taylorseer or magcache" in done.stderr


def test_the_matrix_is_told(cli: Any) -> None:
    rows = json.loads(cli("models", "features", "--json").stdout)
    works = {(row["form"], row["use"]) for row in rows if row["works"] and row["form"] in METHODS}
    assert works == {(name, family.name) for family in FAMILIES.values() for name in family.caches}
    checks = list(caches(Settings()))
    assert [(check.name, check.state) for check in checks] == [(name, "ok") for name in METHODS]
