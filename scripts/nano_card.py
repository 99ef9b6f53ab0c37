"""Measure the embedded models on their held-out suite, and write the figures into the model card.

    .venv/bin/python scripts/nano_card.py [--models klein-nano-base klein-nano] [--limit 100] [--look]

Draws what the store does not hold, judges it by the pixels alone, and writes pictures to `docs/gallery/` and the tables
between the two marks of the card. `--look` prints the table and writes nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evals.report import confusion
from evals.run import Evaluation, Judged
from evals.running import Contender, EvalRun, run_suite
from evals.scenes.judge import judge
from evals.scenes.prompt import expected_of, parse
from evals.sheet import confusion_figure, drawn_by_lot, sheet, worst_cases
from evals.statistics import mean_interval
from evals.suite import Prompt, Suite, load_suite
from workbench.cli._common import progress
from workbench.nano.edits import COMPOSITIONS, EDITS
from workbench.session import Session

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "docs" / "gallery"
NANO = ROOT / "workbench" / "nano"
CARD = NANO / "MODEL_CARD.md"
BEGIN, END = "<!-- figures: written by scripts/nano_card.py -->", "<!-- end of figures -->"
SUITE = "nano-2"
MODELS = ("klein-nano-base", "klein-nano")


@dataclass(frozen=True)
class Skill:
    """Some rows of the suite, the check that counts, and the bar for each model."""

    name: str
    has: Callable[[Prompt], bool]
    metric: str = "exact"
    bars: tuple[float | None, float | None] = (None, None)  # base, distilled

    def rows(self, suite: Suite) -> list[str]:
        """Ids of the skill's rows."""
        return [each.id for each in suite.prompts if self.has(each)]


def _kind(*kinds: str) -> Callable[[Prompt], bool]:
    return lambda prompt: prompt.kind in kinds


def _letters(least: int, most: int) -> Callable[[Prompt], bool]:
    return lambda prompt: prompt.kind == "word" and least <= len(prompt.prompt.split('"')[1]) <= most


def _joined(prompt: Prompt) -> bool:
    return prompt.kind == "relation" and " and " in prompt.prompt


TWO = ("compose-colour", "compose-pair", "compose-background")
SKILLS = (
    Skill("one object, shape and colour", _kind("single"), bars=(0.97, 0.97)),
    Skill("two objects, both attributes", _joined, bars=(0.94, 0.92)),
    Skill("relations", lambda each: each.kind == "relation" and not _joined(each), bars=(0.95, 0.93)),
    Skill("counts 1 to 5", _kind("count"), bars=(0.94, 0.92)),
    Skill("words of 1 to 4 letters", _letters(1, 4), bars=(0.92, 0.90)),
    Skill("words of 5 and 6 letters", _letters(5, 6), bars=(0.80, 0.75)),
    Skill("words: colour of the ink", _kind("word"), "colour"),
    Skill("word and shape", _kind("word+shape")),
    Skill("word and shape: the shape", _kind("word+shape"), "shape"),
    Skill("HEX colour within CIEDE2000 of 10", _kind("hex"), "colour", (0.90, 0.90)),
    Skill("HEX colour and shape", _kind("hex")),
    Skill("edits of one reference", _kind(*EDITS), bars=(0.85, 0.85)),
    *(Skill(f"- {kind}", _kind(kind)) for kind in EDITS),
    Skill("compositions of two references", _kind(*TWO), bars=(0.75, 0.75)),
    Skill("compositions of three and four", _kind(*(kind for kind in COMPOSITIONS if kind not in TWO))),
    Skill("other sizes, 96 to 256 px", _kind("sizes")),
    Skill("background, all rows", lambda _each: True, "background"),
    Skill("everything, all rows", lambda _each: True),
)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="the base first")
    parser.add_argument("--limit", type=int, help="a smaller suite, for a look")
    parser.add_argument("--look", action="store_true", help="print the table, write nothing")
    args = parser.parse_args()
    mpl.use("agg")
    contenders = [Contender(Path(name).name, {"model": name}) for name in args.models]
    with progress("Held-out prompts") as listen:
        run = run_suite(
            Session(), load_suite(SUITE).limited(args.limit), contenders, seeds=1, scorers=["scene"], listen=listen
        )
    text = table(run)
    print(text)
    if args.look:
        return
    GALLERY.mkdir(parents=True, exist_ok=True)
    for name in run.names:
        evaluation = judged(run, name)
        draw = drawn_by_lot(evaluation.rows, 48, seed=0)
        _save(sheet(draw, title=f"{name}: 48 held-out prompts drawn by lot (seed 0)"), f"{name}.png")
        _save(sheet(worst_cases(evaluation.rows), title=f"{name}: the worst twentieth"), f"{name}-worst.png")
        for what in ("shape", "colour", "count"):
            _save(confusion_figure(confusion(evaluation, what)), f"{name}-{what}.png")
    _save(learning_curves(), "curve.png")
    head, rest = CARD.read_text(encoding="utf-8").split(BEGIN)
    CARD.write_text(f"{head}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def table(run: EvalRun) -> str:
    """Every skill of every model as Markdown, with what is needed to repeat it."""
    frame = run.frame()
    weights = ", ".join(f"{name} `{digest[:12]}`" for name, digest in sorted(run.weights.items()))
    version = run.scorers[0].version
    lines = [
        (
            f"Suite `{run.suite.name}` version {run.suite.version}, {len(run.suite.prompts)} rows, one seed each; judge and "
            f"reader `{version}`; weights {weights}. Higher is better; 95 % Wilson intervals; a row is right when every check "
            "holds (objects, colours, places, words, background, nothing else), unless the skill names one check."
        ),
        "",
        "| Skill | Rows | " + " | ".join(f"{name} | bar" for name in run.names) + " |",
        "|---|---|" + "---|---|" * len(run.names),
    ]
    for skill in SKILLS:
        ids = skill.rows(run.suite)
        if not ids:
            continue
        cells = [_cell(frame, ids, skill, name, bar) for name, bar in zip(run.names, skill.bars, strict=False)]
        lines.append(f"| {skill.name} | {len(ids)} | " + " | ".join(cells) + " |")
    failed = sum(bool(cell.error) for cell in run.cells)
    return "\n".join([*lines, "", f"Pictures that could not be made or judged: {failed}.", ""])


def _cell(frame: pd.DataFrame, ids: list[str], skill: Skill, name: str, bar: float | None) -> str:
    """Share and interval of one model, and its bar; a picture without a value counts as wrong."""
    chosen = frame[frame.prompt_id.isin(ids) & (frame.contender == name) & (frame.metric == skill.metric)]
    found = mean_interval(chosen.value.fillna(0.0).to_numpy())
    value = f"{100 * found.value:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"
    if bar is None:
        return f"{value} |"
    return f"{value} | {'reached' if found.value >= bar else 'missed'}: {100 * bar:.0f} %"


def judged(run: EvalRun, name: str) -> Evaluation:
    """The run of one model with its pictures and verdicts, for sheets and confusion matrices."""
    from evals.scenes.read import RapidReader

    reader, rows = RapidReader(), []
    for cell in run.cells:
        if cell.contender != name:
            continue
        prompt, picture = run.prompt(cell), run.picture(cell)
        verdict = None
        if picture is not None:
            scene = prompt.ask.get("scene")
            verdict = judge(picture, expected_of(scene) if scene else parse(prompt.prompt), reader=reader)
        rows.append(Judged(prompt, cell.seed, picture, verdict, cell.digest, cell.error))
    return Evaluation(run.suite, tuple(rows), model=name, weights=run.weights.get(name, ""), reader=reader.name)


def learning_curves() -> Figure:
    """Training loss against step for both models, one colour a bucket of the mixture, the same in both."""
    figure = Figure(figsize=(9, 4.2), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    curves = {
        name: json.loads((NANO / "weights" / name / "training.json").read_text(encoding="utf-8"))["curve"]
        for name in MODELS
    }
    buckets = sorted({record["bucket"] for curve in curves.values() for record in curve})
    palette = mpl.colormaps["tab20"]
    for axes, name in zip(figure.subplots(1, len(MODELS)), MODELS, strict=True):
        for place, bucket in enumerate(buckets):
            size, references, *kinds = bucket.split("-", 2)
            label = ", ".join((size, f"{references} references", *kinds))
            points = [(record["step"], record["loss"]) for record in curves[name] if record["bucket"] == bucket]
            axes.plot(
                *zip(*points, strict=True) if points else ([], []), ".", color=palette(place), markersize=4, label=label
            )
        axes.set(xlabel="step", ylabel="loss of single batches", yscale="log", title=name)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", frameon=False, fontsize=6, ncols=4)
    return figure


def _save(figure: Figure, name: str) -> None:
    figure.savefig(GALLERY / name, bbox_inches="tight", pad_inches=0.1)


if __name__ == "__main__":
    main()
