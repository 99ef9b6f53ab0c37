"""How much a picture changes when weights are kept in fewer bits: PSNR against exact weights, and bytes.

    python benchmarks/weights.py [MODEL] [--out benchmarks/weights-klein-nano-base.json]

Draws the same recipes with every form and compares the pictures; exact is the model in float32.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from workbench.engine import Engine
from workbench.models.catalog import ModelCatalog
from workbench.models.footprint import component_bytes
from workbench.recipe import Precision, Quantisation, Recipe

PROMPTS = (
    "a red circle left of a blue square", "a green star", 'the word "FLUX"', "two yellow triangles above a black ring",
)  # fmt: skip
FORMS: tuple[tuple[Precision, Quantisation | None], ...] = (
    ("float32", None), ("bfloat16", None), ("float32", "int8"), ("float32", "fp8"), ("float32", "nf4"),
)  # fmt: skip


def psnr(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Peak signal-to-noise ratio of two 8-bit pictures, in dB; infinite when they are equal."""
    error = float(np.mean((one.astype(float) - other.astype(float)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="klein-nano-base")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        catalog = ModelCatalog(Path(home), device="cpu")
        model = catalog.model(options.model)
        exact: list[np.ndarray[Any, Any]] = []
        rows: list[dict[str, Any]] = []
        for precision, quantisation in FORMS:
            recipes = [
                Recipe(model=model.name, prompt=prompt, seed=seed, precision=precision, quantisation=quantisation)
                for prompt in PROMPTS
                for seed in (1, 2)
            ]
            results = {result.index: result for result in Engine(catalog, device="cpu", batch_size=8).run(recipes)}
            pictures = [np.asarray(results[index].picture) for index in range(len(recipes))]
            exact = exact or pictures
            found = sorted(psnr(*pair) for pair in zip(exact, pictures, strict=True))
            size = component_bytes(model, "transformer", precision, quantisation)
            row: dict[str, Any] = {"precision": precision, "quantisation": quantisation, "transformer_bytes": size}
            row |= {"psnr_median": round(statistics.median(found), 1), "psnr_worst": round(found[0], 1)}
            rows.append(row)
            print(row)
    if options.out:
        options.out.write_text(json.dumps({"model": model.name, "rows": rows[1:]}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
