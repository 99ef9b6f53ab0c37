"""Does a few minutes of training teach the embedded model something, and nothing else?

For each of the four kinds of `finetune.data.examples` (a style, a new shape under a trigger word, a new letter form, an
edit): train on 24 generated pictures, then draw held-out prompts with and without the adapter from the same seeds.
`finetune.data.concepts` measures how much of the concept is in a picture. Control prompts of the scene grammar, without
the trigger, are judged by `evals.scenes`: they should be right as often as before. Both comparisons are paired.

Run: `python benchmarks/finetune_learns.py [--kinds style shape] [--steps N] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evals.scenes.judge import judge
from evals.statistics.paired import paired_difference
from finetune.config import TrainConfig
from finetune.data.concepts import measure
from finetune.data.examples import KINDS, TRIGGER, Drawn, samples, write_example
from finetune.execute import execute
from finetune.run import create_run
from workbench.engine import Engine
from workbench.models import ModelCatalog
from workbench.nano.scenes import Kind, sample_scene
from workbench.recipe import Adapter, Recipe


def configuration(kind: str, data: Path, options: argparse.Namespace) -> TrainConfig:
    """The recipe of all four kinds: rank 16 on all block layers, a constant rate, batches of four."""
    return TrainConfig.parse(
        {
            "model": options.model,
            "name": kind,
            "data": {"path": str(data), "trigger": "" if kind == "edit" else TRIGGER, "caption_dropout": 0.05,
                     "held_out": 2},
            "adapter": {"rank": 16},
            "optimiser": {"learning_rate": options.learning_rate},
            "steps": options.steps,
            "batch_size": 4,
            "checkpoint_every": options.steps,
            "held_out": {"every": max(1, options.steps // 4)},
            "device": options.device,
        }
    )  # fmt: skip


def draw(engine: Engine, recipes: list[Recipe]) -> list[Image.Image]:
    """The pictures of `recipes`, in order."""
    pictures: dict[int, Image.Image] = {}
    for result in engine.run(recipes):
        if result.error is not None:
            raise result.error
        assert result.picture is not None
        pictures[result.index] = result.picture
    return [pictures[index] for index in range(len(recipes))]


def recipes_for(asked: list[Drawn], folder: Path, options: argparse.Namespace) -> list[Recipe]:
    """One recipe per example; references are written below `folder`."""
    made = []
    for seed, each in enumerate(asked):
        names = []
        for place, reference in enumerate(each.references):
            path = folder / f"{seed}-{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            reference.save(path)
            names.append(str(path))
        extra: dict[str, Any] = {"references": tuple(names)} if names else {}
        made.append(Recipe.parse({"model": options.model, "prompt": each.caption, "seed": seed,
                                  "steps": options.draw_steps, **extra}))  # fmt: skip
    return made


def controls(options: argparse.Namespace) -> list[Recipe]:
    """Held-out scenes of the grammar without words, which need no reader to be judged."""
    import random

    rng = random.Random(7)
    kinds: tuple[Kind, ...] = ("single", "single", "relation")
    return [
        Recipe(model=options.model, prompt=sample_scene(rng, kind=kinds[seed % 3], held_out=True).prompt,
               seed=1000 + seed, steps=options.draw_steps)
        for seed in range(options.controls)
    ]  # fmt: skip


def learn(kind: str, home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train one kind and measure it."""
    catalog = ModelCatalog(home, device=options.device)
    data = home / "data" / kind
    write_example(kind, data, count=options.examples, regularisation=options.regularisation)
    began, wall = time.process_time(), time.perf_counter()
    folder = create_run(configuration(kind, data, options), home)
    status = execute(folder, catalog)
    assert status.state == "finished", status
    cost = {"cpu_s": time.process_time() - began, "wall_s": time.perf_counter() - wall}
    engine = Engine(catalog, device=options.device)
    asked = list(samples(kind, options.prompts, seed=1, held_out=True, alone=True))
    trained, plain = recipes_for(asked, home / "references" / kind, options), controls(options)
    with_adapter = [each.replace(adapters=(Adapter(name=kind),)) for each in (*trained, *plain)]
    before, after = draw(engine, [*trained, *plain]), draw(engine, with_adapter)
    count = len(trained)
    scores = [[measure(kind, picture, want) for picture, want in zip(some[:count], asked, strict=True)]
              for some in (before, after)]  # fmt: skip
    right = [[float(judge(picture, recipe.prompt).right is True) for picture, recipe in zip(some[count:], plain, strict=True)]
             for some in (before, after)]  # fmt: skip
    apart = [float(np.abs(np.asarray(one, float) - np.asarray(two, float)).mean()) / 255
             for one, two in zip(before[count:], after[count:], strict=True)]  # fmt: skip
    ideal = [measure(kind, want.picture, want) for want in asked]
    if options.sheets:
        sheet([[want.picture for want in asked], before[:count], after[:count]], options.sheets / f"{kind}.png")
        sheet([before[count:], after[count:]], options.sheets / f"{kind}-controls.png")
    held_out = [(r["step"], round(r["loss"], 5)) for r in folder.records() if r["event"] == "held_out"]
    return {
        "kind": kind,
        "steps": options.steps,
        **cost,
        "score_before": float(np.mean(scores[0])),
        "score_after": float(np.mean(scores[1])),
        "score_of_the_true_pictures": float(np.mean(ideal)),
        "rise": asdict(paired_difference(scores[1], scores[0])),
        "controls_right_before": float(np.mean(right[0])),
        "controls_right_after": float(np.mean(right[1])),
        "drift": asdict(paired_difference(right[1], right[0])),
        "pixels_apart": float(np.mean(apart)),
        "held_out_loss": held_out,
    }


def sheet(rows: list[list[Image.Image]], path: Path) -> None:
    """Rows of pictures as one picture."""
    side = rows[0][0].width
    canvas = Image.new("RGB", (side * len(rows[0]), side * len(rows)), "white")
    for down, row in enumerate(rows):
        for across, picture in enumerate(row):
            canvas.paste(picture, (across * side, down * side))
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path)


def main() -> None:
    """Train, measure, print a table, and write the figures as JSON when asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="klein-nano-base")
    parser.add_argument("--kinds", nargs="+", choices=sorted(KINDS), default=sorted(KINDS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--examples", type=int, default=24)
    parser.add_argument("--regularisation", type=int, default=8)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--controls", type=int, default=18)
    parser.add_argument("--draw-steps", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheets", type=Path, help="folder for pictures: true, before, after")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as home:
        for kind in options.kinds:
            row = learn(kind, Path(home), options)
            rows.append(row)
            rise, drift = row["rise"], row["drift"]
            print(
                f"{kind:8} score {row['score_before']:.3f} -> {row['score_after']:.3f}, "
                f"rise {rise['value']:+.3f} [{rise['low']:+.3f}, {rise['high']:+.3f}] p {rise['p']:.4f}; "
                f"controls right {row['controls_right_before']:.2f} -> {row['controls_right_after']:.2f}, p {drift['p']:.2f}; "
                f"{row['cpu_s']:.0f} s of processor time, {row['wall_s']:.0f} s",
                flush=True,
            )
            if options.json:
                figures = {"model": options.model, "rows": rows}
                options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
