"""Approximate caches on the embedded models: share of the work and time, PSNR against the exact pictures.

    python benchmarks/caches.py [--prompts 8] [--write]

Every prompt is drawn exactly and then with every mode, in turns, one picture a batch, in one process. With --write the
tables go into docs/benchmarks/caches.md, between its marks.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import tempfile
from pathlib import Path
from random import Random

import torch

from workbench.cache_report import Row, measure, modes_of
from workbench.engine import Engine
from workbench.engine.calibrate import calibrate
from workbench.models.catalog import ModelCatalog
from workbench.nano.scenes import sample_scene
from workbench.recipe import Recipe
from workbench.recipe.approximate import parse
from workbench.store.files import write_atomically

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "caches.md"
BEGIN, END = "<!-- measured -->", "<!-- end -->"
MODELS = ("klein-nano-base", "klein-nano")
CALIBRATION = 4  # pictures, of prompts that are not measured


def table(rows: list[Row]) -> list[str]:
    """Lines of Markdown."""
    lines = ["| cache | work | processor time | time of the steps | PSNR | worst |", "|---|---|---|---|---|---|"]
    for row in rows:
        name = f"`{parse(row.cache).short}`" if row.cache else "exact"
        loss = f"{row.mean:.1f} dB | {row.worst:.1f} dB" if row.cache else "|"
        lines.append(f"| {name} | {row.work:.2f} | {row.processor:.2f} | {row.denoise:.2f} | {loss} |")
    return lines


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    chance = Random(2026)
    prompts = [sample_scene(chance, held_out=True).prompt for _ in range(options.prompts + CALIBRATION)]
    lines = []
    with tempfile.TemporaryDirectory() as home:
        catalog = ModelCatalog(Path(home), device="cpu")
        engine = Engine(catalog, device="cpu")
        for name in MODELS:
            model = catalog.model(name)
            base = Recipe(model=name, precision="float32", seed=1)
            spare = [base.replace(prompt=prompt) for prompt in prompts[options.prompts :]]
            magcache = str(calibrate(catalog, spare, torch.device("cpu")))
            modes = [mode for mode in modes_of(model.caches, magcache) if parse(mode).acts(model.steps)]
            rows = measure(engine, catalog, base, modes, prompts=prompts[: options.prompts])
            lines += ["", f"### {name}, {model.steps} steps, {model.width} x {model.height}, float32", "", *table(rows)]
            lines += ["", f"Ratios: `{magcache}`"]
            print("\n".join(lines), flush=True)
    made = f"Made {datetime.datetime.now(datetime.UTC):%d %B %Y} on {platform.machine()}, torch {torch.__version__},"
    lines = [f"{made} {options.prompts} prompts, {torch.get_num_threads()} thread(s).", *lines]
    if options.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        write_atomically(PAGE, (before + BEGIN + "\n" + "\n".join(lines) + "\n\n" + END + after).encode())


if __name__ == "__main__":
    main()
