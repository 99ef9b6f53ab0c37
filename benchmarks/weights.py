"""How much a picture changes when weights are kept in fewer bits: PSNR against exact weights, and bytes.

    python benchmarks/weights.py [MODEL] [--out benchmarks/weights-klein-nano-base.json] [--one-pass]

Draws the same recipes with every form and compares the pictures; exact is the model in float32. A sampler carries a small
difference through all its steps and can end at another picture, so the error of one pass of the transformer is told too;
`--one-pass` measures that alone, and keeps the other figures of the file.
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
import torch

from workbench.engine import Engine
from workbench.models.catalog import ModelCatalog
from workbench.models.footprint import component_bytes
from workbench.models.loading import load
from workbench.models.model import Model
from workbench.recipe import Precision, Quantisation, Recipe

PROMPTS = (  # that the embedded model has learned: where it guesses, a rounding decides
    "a red circle to the left of a blue square on a white background", "a green star on a white background",
    'the word "FLUX" in blue on a white background', "three yellow triangles on a black background",
)  # fmt: skip
FORMS: tuple[tuple[Precision, Quantisation | None], ...] = (
    ("float32", None), ("bfloat16", None), ("float32", "int8"), ("float32", "fp8"), ("float32", "nf4"),
)  # fmt: skip


def psnr(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Peak signal-to-noise ratio of two 8-bit pictures, in dB; infinite when they are equal."""
    error = float(np.mean((one.astype(float) - other.astype(float)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def one_pass(model: Model) -> list[float]:
    """Relative error of the transformer's answer for the same random tokens at three noise levels, by form."""
    answers = []
    for precision, quantisation in FORMS:
        parts = load(model, precision, torch.device("cpu"), quantisation=quantisation)
        config: Any = parts.transformer.config
        torch.manual_seed(0)
        tokens, text = torch.randn(2, 64, config.in_channels), torch.randn(2, 32, config.joint_attention_dim)
        image_ids, text_ids = torch.zeros(64, 4), torch.zeros(32, 4)
        image_ids[:, 1], image_ids[:, 2] = torch.arange(64) // 8, torch.arange(64) % 8
        text_ids[:, 3] = torch.arange(32)
        with torch.inference_mode():
            found = [
                parts.transformer(
                    hidden_states=tokens.to(parts.dtype), encoder_hidden_states=text.to(parts.dtype),
                    timestep=torch.full((2,), level).to(parts.dtype), img_ids=image_ids, txt_ids=text_ids,
                    return_dict=False,
                )[0].float()
                for level in (0.95, 0.5, 0.1)
            ]  # fmt: skip
        answers.append(torch.cat(found))
    exact = answers[0]
    return [round(float((answer - exact).norm() / exact.norm()), 4) for answer in answers]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="klein-nano-base")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one-pass", action="store_true")
    options = parser.parse_args()
    if options.one_pass:
        with tempfile.TemporaryDirectory() as home:
            errors = one_pass(ModelCatalog(Path(home), device="cpu").model(options.model))
        print(errors)
        if options.out:
            kept = json.loads(options.out.read_text(encoding="utf-8"))
            for kept_row, error in zip(kept["rows"], errors[1:], strict=True):
                kept_row["one_pass_error"] = error
            options.out.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as home:
        catalog = ModelCatalog(Path(home), device="cpu")
        model = catalog.model(options.model)
        errors = one_pass(model)
        exact: list[np.ndarray[Any, Any]] = []
        rows: list[dict[str, Any]] = []
        for (precision, quantisation), error in zip(FORMS, errors, strict=True):
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
            row["one_pass_error"] = error
            rows.append(row)
            print(row)
    if options.out:
        options.out.write_text(json.dumps({"model": model.name, "rows": rows[1:]}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
