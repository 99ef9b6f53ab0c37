"""The engine against the stock pipeline, side by side in one run: ratios, not promises of seconds.

Every comparison alternates its two sides and takes the median, so that a busy machine slows both alike. The grid is
three prompts by four seeds. Run: `python benchmarks/engine.py [--model NAME] [--steps N] [--repeats N] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from workbench.engine import Engine
from workbench.engine.text import encode, tokenize
from workbench.models import Model, ModelCatalog
from workbench.models.loading import Components, load
from workbench.recipe import Recipe

PROMPTS = ("a red circle", "a blue square to the left of a green star", 'the word "FLUX"')
SEEDS = range(4)


def clock(work: Callable[[], object]) -> float:
    """Seconds of processor time of this process, all threads: other programs on the machine do not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(old: Callable[[], object], new: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median seconds of both and their ratio, after one round to warm up."""
    old(), new()
    pairs = [(clock(old), clock(new)) for _ in range(repeats)]
    return {
        "before_s": statistics.median(pair[0] for pair in pairs),
        "after_s": statistics.median(pair[1] for pair in pairs),
        "ratio": statistics.median(pair[0] / pair[1] for pair in pairs),
    }


def stock_grid(pipe: Any, model: Model, recipes: list[Recipe]) -> list[Image]:
    """One call of the pipeline for each cell, as a notebook loop does."""
    return [
        pipe(
            prompt=recipe.prompt,
            width=model.width,
            height=model.height,
            num_inference_steps=recipe.steps,
            guidance_scale=model.guidance_scale,
            generator=torch.Generator().manual_seed(recipe.seed),
            max_sequence_length=model.max_sequence_length,
            text_encoder_out_layers=model.family.text_layers,
        ).images[0]
        for recipe in recipes
    ]


def engine_grid(engine: Engine, recipes: list[Recipe]) -> list[Image]:
    """The grid on the engine, with its text cache emptied first; pictures in the order of `recipes`."""
    engine.texts.clear()
    results = sorted(engine.run(recipes), key=lambda result: result.index)
    return [result.picture for result in results if result.picture is not None]


def text_rows(pipe: Any, parts: Components, repeats: int) -> dict[str, dict[str, float]]:
    """The text encoder alone: trimmed, and once per prompt."""
    model = parts.model
    options = {
        "max_sequence_length": model.max_sequence_length,
        "text_encoder_out_layers": model.family.text_layers,
    }

    def whole(prompts: list[str]) -> None:
        for prompt in prompts:
            with torch.no_grad():
                pipe.encode_prompt(prompt, **options)

    def trimmed(prompts: list[str]) -> None:
        for prompt in prompts:
            encode(parts, tokenize(parts, prompt, model.max_sequence_length))

    cells = [prompt for prompt in PROMPTS for _ in SEEDS] * 4
    return {
        "text encoder: whole / layers that are read": compare(lambda: whole(cells), lambda: trimmed(cells), repeats),
        "text: every cell / every prompt": compare(lambda: trimmed(cells), lambda: trimmed(list(PROMPTS) * 4), repeats),
    }


def main() -> None:
    """Measure, print a table, and write the figures as JSON when asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="klein-nano-base")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    from diffusers import Flux2KleinPipeline

    with tempfile.TemporaryDirectory() as home:
        catalog = ModelCatalog(Path(home), device="cpu")
        model = catalog.model(options.model)
        parts = load(model, "float32", torch.device("cpu"))
        pipe = Flux2KleinPipeline.from_pretrained(model.path, dtype=torch.float32, local_files_only=True)
        pipe.set_progress_bar_config(disable=True)
        recipes = [Recipe(model=model.name, prompt=p, seed=s, steps=options.steps) for p in PROMPTS for s in SEEDS]
        engines = {size: Engine(catalog, device="cpu", batch_size=size) for size in (1, 4, 12, None)}
        ours, theirs = engine_grid(engines[None], recipes), stock_grid(pipe, model, recipes)
        apart = max(
            int(np.abs(np.asarray(one, int) - np.asarray(two, int)).max())
            for one, two in zip(ours, theirs, strict=True)
        )
        rows = text_rows(pipe, parts, options.repeats)
        for size, engine in engines.items():
            rows[f"grid: pipeline loop / engine, {f'batch {size}' if size else 'batch by estimate'}"] = compare(
                lambda: stock_grid(pipe, model, recipes),
                lambda engine=engine: engine_grid(engine, recipes),  # type: ignore[misc]
                options.repeats,
            )
    figures = {
        "model": model.name, "steps": options.steps, "cells": len(recipes), "threads": torch.get_num_threads(),
        "torch": torch.__version__, "largest_difference_of_255": apart, "rows": rows,
    }  # fmt: skip
    print(f"{model.name}, {len(recipes)} cells, {options.steps} steps, {torch.get_num_threads()} thread(s), float32")
    print(f"largest difference between the pictures: {apart} of 255\n")
    print(f"{'':56}{'before':>10}{'after':>10}{'ratio':>8}")
    for name, row in rows.items():
        print(f"{name:56}{row['before_s']:9.3f}s{row['after_s']:9.3f}s{row['ratio']:8.2f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
