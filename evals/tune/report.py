"""The report of a search: one self-contained page, tables of trials and scores, and the winner as a recipe.

The comparison of winner and default has a report of its own in `held_out/`, with every picture.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from evals.reports import write_report
from evals.tune.figures import search_figure
from evals.tune.result import Compared, Trial, TuneResult
from workbench.recipe import Recipe
from workbench.store.files import make_folder, write_atomically

PAGE, TRIALS, SCORES, BEST = "report.html", "trials.parquet", "scores.parquet", "best.yaml"
HELD_OUT = "held_out"


def write(result: TuneResult, folder: Path) -> list[Path]:
    """Write all files of a search, each whole or not at all.

    Args:
        result: of `tune`.
        folder: made when absent; the one that `tune` used holds the scores of its trials.

    Returns:
        `report.html`, `best.yaml`, `trials.parquet`, `scores.parquet` where the folder holds scores of trials, and the
        page of the comparison in `held_out/`.

    Raises:
        StoreError: the folder cannot be written.
    """
    make_folder(folder)
    held_out = [path for path in write_report(result.run, folder / HELD_OUT) if path.suffix == ".html"]
    result.run.save(folder / HELD_OUT)
    files: dict[str, bytes] = {
        PAGE: render(result).encode(),
        BEST: best_yaml(result).encode(),
        TRIALS: _parquet(result.frame()),
    }
    if parts := sorted((folder / "trials").glob("*.parquet")):
        import pandas as pd

        files[SCORES] = _parquet(pd.concat([pd.read_parquet(path) for path in parts], ignore_index=True))
    for name, data in files.items():
        write_atomically(folder / name, data)
    return [*(folder / name for name in files), *held_out]


def best_yaml(result: TuneResult) -> str:
    """The winner as a recipe, with what is known of it as comments."""
    notes = [
        result.sentence,
        "Made by: evals tune space.yaml. Add a prompt, and: workbench generate --recipe best.yaml",
    ]
    return "".join(f"# {note}\n" for note in notes) + result.recipe.to_yaml()


def render(result: TuneResult) -> str:
    """The page as HTML text; nothing is fetched, every text is escaped."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = ChoiceLoader([PackageLoader("evals.tune", "assets"), PackageLoader("evals.reports", "assets")])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = loader.get_source(environment, "report.css")[0]
    ranked = sorted(result.trials, key=lambda each: (each.state != "done", -(each.objective or float("-inf"))))
    return environment.get_template("tune.html.j2").render(
        style=Markup(style),  # noqa: S704 - our own file
        figure=Markup(search_figure(result)),  # noqa: S704 - our own figure, its texts escaped by matplotlib
        title=f"Search over {', '.join(result.space.search)}",
        sentence=result.sentence,
        shown=result.compared[0].difference.better is not None,
        notes=[*result.notes, _search_gain(result)],
        params=list(result.space.search),
        metrics=list(result.space.objective),
        trials=[_row(each, result) for each in ranked],
        compared=[_compared(each) for each in result.compared],
        best=best_yaml(result),
        default=Recipe.parse(result.space.fields({})).to_yaml(),
        space=result.space.to_yaml(),
        counts=(result.search_prompts, len(result.run.suite.prompts), result.space.seeds),
        scorers=[f"{each.name} {each.version}" for each in result.run.scorers],
        suite=f"{result.run.suite.name} version {result.run.suite.version}",
    )


def _search_gain(result: TuneResult) -> str:
    """How much of the gain seen in the search is left on new prompts."""
    seen = result.best.means["objective"] - result.default["objective"]
    found = result.compared[0].difference.value
    return (
        f"On the prompts of the search the winner was {seen:+.3f} above the default; on new prompts it is {found:+.3f}. "
        "The first number is too high on average, as the best of many is chosen by it; only the second one counts."
    )


def _row(trial: Trial, result: TuneResult) -> dict[str, Any]:
    return {
        "number": trial.number,
        "best": trial.number == result.best.number,
        "state": trial.error or trial.state,
        "prompts": trial.prompts,
        "params": [_text(trial.params[name]) for name in result.space.search],
        "means": [_text(trial.means.get(name)) for name in ("objective", *result.space.objective)],
    }


def _compared(each: Compared) -> dict[str, str]:
    best, default, difference = each.best, each.default, each.difference
    return {
        "name": each.name,
        "direction": f"{each.direction} is better",
        "best": f"{best.value:.3f} ({best.low:.3f} to {best.high:.3f})",
        "default": f"{default.value:.3f} ({default.low:.3f} to {default.high:.3f})",
        "difference": f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})",
        "p": f"{difference.p_adjusted:.3f}",
        "n": f"{difference.n} pictures, {difference.clusters} prompts",
        "findable": f"{difference.detectable:.3f}",
        "verdict": {True: "better", False: "worse", None: "not told apart"}[difference.better],
    }


def _text(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _parquet(frame: Any) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
