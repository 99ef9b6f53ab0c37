"""Make the pictures and figures that README and model card show, from real runs of the embedded model.

    .venv/bin/python scripts/gallery.py

Writes `docs/gallery/` and the figures between the two marks in the model card. Pictures that the store holds are not
made again.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evals.report import summary, write_report
from evals.run import evaluate
from evals.scenes.read import RapidReader
from evals.suite import load_suite
from workbench.cli._common import progress
from workbench.grid import Grid
from workbench.session import Session

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "docs" / "gallery"
CARD = ROOT / "workbench" / "nano" / "MODEL_CARD.md"
WEIGHTS = ROOT / "workbench" / "nano" / "weights" / "klein-nano-base"
BEGIN, END = "<!-- figures: written by scripts/gallery.py -->", "<!-- end of figures -->"


def main() -> None:
    """Make everything."""
    mpl.use("agg")
    GALLERY.mkdir(parents=True, exist_ok=True)
    session = Session()
    grid = Grid.from_yaml((ROOT / "docs" / "examples" / "shapes.yaml").read_text(encoding="utf-8"))
    with progress("Grid") as listen:
        grid.run(session, listen=listen).save_png(GALLERY / "grid.png")
    with progress("Held-out prompts") as listen:
        evaluation = evaluate(
            session, load_suite("nano-1"), seed=0, reader=RapidReader(), listen=listen, model="klein-nano-base"
        )
    with tempfile.TemporaryDirectory() as folder:
        write_report(evaluation, Path(folder), seed=0)
        for source, name in (
            ("sheet.png", "klein-nano-base.png"),
            ("worst.png", "worst.png"),
            ("confusion_shape.png", "confusion_shape.png"),
            ("confusion_colour.png", "confusion_colour.png"),
            ("summary.json", "summary.json"),
        ):
            shutil.copy(Path(folder) / source, GALLERY / name)
    learning_curve(json.loads((WEIGHTS / "training.json").read_text(encoding="utf-8"))).savefig(GALLERY / "curve.png")
    head, rest = CARD.read_text(encoding="utf-8").split(BEGIN)
    tail = rest.split(END)[1]
    CARD.write_text(head + BEGIN + "\n" + figures(summary(evaluation)) + "\n" + END + tail, encoding="utf-8")


def figures(facts: dict[str, Any]) -> str:
    """The table of skills as Markdown, with what is needed to repeat it."""
    suite, judge = facts["suite"], facts["judge"]
    source = (
        f"Suite `{suite['name']}` version {suite['version']}, {facts['pictures']} pictures, seed {facts['seed']}, judge "
        f"version {judge['version']}, words read by {judge['reader']}, weights `{facts['weights'][:12]}`. Higher is better."
    )
    head = ("| Skill | Right | Share | 95 % Wilson interval | What counts as right |", "|---|---|---|---|---|")
    lines = ["", source, "", *head]
    for skill in facts["skills"]:
        interval = f"{100 * skill['low']:.1f} to {100 * skill['high']:.1f} %"
        lines.append(
            f"| {skill['name']} | {skill['right']} of {skill['n']} | {100 * skill['value']:.1f} % | {interval} "
            f"| {skill['about']} |"
        )
    return "\n".join([*lines, ""])


def learning_curve(training: dict[str, Any]) -> Figure:
    """Training loss against step, one colour a picture size."""
    figure = Figure(figsize=(7, 3), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for size in sorted({record["size"] for record in training["curve"]}):
        points = [(record["step"], record["loss"]) for record in training["curve"] if record["size"] == size]
        axes.plot(*zip(*points, strict=True), ".", markersize=4, label=f"{size:g} px")
    axes.set(xlabel="step", ylabel="flow-matching loss", yscale="log", title="klein-nano-base: loss of single batches")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
