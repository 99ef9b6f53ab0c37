"""Does a few minutes of training teach the embedded model something, and nothing else?

For each of the four kinds of `finetune.data.examples` (a style, a new shape under a trigger word, a new letter form, an
edit): train on 24 generated pictures, then draw held-out prompts with and without the adapter from the same seeds.
`finetune.data.concepts` measures how much of the concept is in a picture. Control prompts of the scene grammar, without
the trigger, are judged by `evals.scenes`: they should be right as often as before. Both comparisons are paired.

Run: `python benchmarks/finetune_learns.py [--kinds style shape] [--write] [--json FILE]`; about four minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evals.scenes.judge import judge
from evals.statistics.paired import paired_difference
from finetune.checkpoint import load_checkpoint
from finetune.config import TrainConfig
from finetune.data.concepts import measure
from finetune.data.examples import KINDS, TRIGGER, Drawn, samples, write_example
from finetune.execute import execute
from finetune.presets import build_config
from finetune.run import create_run
from finetune.runfolder import RunFolder
from workbench.engine import Engine
from workbench.models import ModelCatalog
from workbench.nano.scenes import Kind, sample_scene
from workbench.recipe import Adapter, Recipe

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks" / "finetune.md"
BEGIN, END = "<!-- learns: written by benchmarks/finetune_learns.py --write -->\n", "<!-- /learns -->\n"

# What differs from the preset of the embedded model. A palette is decided at high noise levels. New forms and letters
# are small changes of what plain scenes show: held to the base they are not learned, beside the pictures themselves they are.
FORM = {"prior": "pictures", "optimiser.learning_rate": 1e-3, "timesteps.mean": 0.0, "data.caption_dropout": 0.05}
RECIPES: dict[str, dict[str, Any]] = {
    "style": {"steps": 240, "timesteps.mean": 1.5},
    "shape": {"steps": 400, **FORM},
    "letter": {"steps": 400, **FORM},
    "edit": {"steps": 350, "optimiser.learning_rate": 1.5e-3, "prior_weight": 5.0},
}


def configuration(kind: str, data: Path, options: argparse.Namespace) -> TrainConfig:
    """The preset of the embedded model; every concept picture twice an epoch beside the plain scenes."""
    fields = {
        "model": options.model,
        "name": kind,
        "data": str(data),
        "data.trigger": "" if kind == "edit" else TRIGGER,
        "data.held_out": 2,
        "data.repeats": 2,
        "checkpoint_every": 10_000,
        "held_out.every": 100,
        "device": options.device,
        **RECIPES[kind],
    }
    return build_config(preset="nano", fields=fields)


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


def learn(kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train one kind in a home of its own and measure it."""
    with tempfile.TemporaryDirectory() as home:
        return learn_in(Path(home), kind, options)


def learn_in(home: Path, kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """See `learn`."""
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
        "steps": status.step,
        "weights": folder_weights(folder),
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


def folder_weights(folder: RunFolder) -> str:
    """The first digits of the fingerprint of the model that was trained."""
    checkpoint = load_checkpoint(folder.checkpoint(folder.steps_saved()[-1]))
    return str(checkpoint.facts["config"]["model"])[:12]


def table(rows: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """The figures as Markdown, with what they were measured on."""
    when, weights = date.today().isoformat(), rows[0]["weights"]  # noqa: DTZ011 - a date for readers
    lines = [
        f"Measured on {when} with {options.model} (weights `{weights}`): {options.examples} pictures of the concept,"
    ]
    lines += [
        f"{options.regularisation} plain scenes, {options.prompts} held-out prompts, {options.controls} controls.",
        "",
        "| concept | steps | score before | after | rise, 95 % interval | p | controls right | p of the drift | processor |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        rise, drift = row["rise"], row["drift"]
        lines.append(
            f"| {row['kind']} | {row['steps']} | {row['score_before']:.3f} | {row['score_after']:.3f} "
            f"| {rise['value']:+.3f} [{rise['low']:+.3f}, {rise['high']:+.3f}] | {rise['p']:.4f} "
            f"| {row['controls_right_before']:.2f} -> {row['controls_right_after']:.2f} | {drift['p']:.2f} "
            f"| {row['cpu_s']:.0f} s |"
        )
    good = sum(row["rise"]["p"] < 0.05 and row["rise"]["value"] > 0 and row["drift"]["p"] >= 0.05 for row in rows)
    return "\n".join([*lines, "", f"{good} of {len(rows)} rise significantly without a significant drift.", ""])


def write(text: str) -> None:
    """Put the table into the document, in place of the last one."""
    before, found, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (found and end):
        raise SystemExit(f"{DOCUMENT} has lost the marks between which the table belongs.")
    DOCUMENT.write_text(f"{before}{BEGIN}{text}{END}{after}", encoding="utf-8")


def main() -> None:
    """Train, measure, print a table, and write the figures where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="klein-nano-base")
    parser.add_argument("--kinds", nargs="+", choices=sorted(KINDS), default=list(RECIPES))
    parser.add_argument("--examples", type=int, default=24)
    parser.add_argument("--regularisation", type=int, default=48)
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--controls", type=int, default=40)
    parser.add_argument("--draw-steps", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=2, help="kinds that are trained side by side, one core each")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks/finetune.md")
    parser.add_argument("--sheets", type=Path, help="folder for pictures: true, before, after")
    options = parser.parse_args()
    rows, failed = list[dict[str, Any]](), list[str]()
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        # the longest first, so that both cores end together
        order = sorted(options.kinds, key=lambda kind: -RECIPES[kind]["steps"] * (2 if kind == "edit" else 1))
        waiting = {pool.submit(learn, kind, options): kind for kind in order}
        for done in as_completed(waiting):
            try:
                rows.append(done.result())
            except Exception as error:  # noqa: BLE001 - the other concepts are still worth having
                failed.append(waiting[done])
                print(f"{waiting[done]} failed: {type(error).__name__}: {error}", flush=True)
                continue
            print(table(rows[-1:], options).splitlines()[5], flush=True)
            if options.json:  # after each, so that an interruption loses one only
                facts = {"model": options.model, "rows": rows}
                options.json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    if failed:
        raise SystemExit(f"Not written: {', '.join(failed)} failed.")
    rows.sort(key=lambda row: options.kinds.index(row["kind"]))
    text = table(rows, options)
    print(text)
    if options.write:
        write(text)


if __name__ == "__main__":
    main()
