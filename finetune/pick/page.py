"""The self-contained HTML page of a pick: nothing is fetched, every text is escaped, every picture is inlined."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

from evals.running import EvalRun
from evals.running.files import encode
from finetune.pick.candidates import BASE, Candidate
from workbench.recipe import dump_yaml

if TYPE_CHECKING:
    from finetune.pick.result import Picked

SHOWN = 4  # prompts of each kind whose pictures are shown


def render(picked: Picked) -> str:
    """The page as HTML text."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = ChoiceLoader([PackageLoader("finetune.pick", "assets"), PackageLoader("evals.reports", "assets")])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    style = Markup(loader.get_source(environment, "report.css")[0])  # noqa: S704 - our own file
    weights = sorted({each.candidate.weight for each in picked.choice.judged})
    steps = sorted({each.candidate.step for each in picked.choice.judged})
    return environment.get_template("pick.html.j2").render(
        style=style,
        title=f"{picked.run.name}: which checkpoint to keep",
        found=picked.choice.keep is not None,
        sentences=picked.sentences,
        figure=figure_source(picked),
        target=picked.target,
        control=picked.control,
        rows=picked.frame().to_dict("records"),
        weights=weights,
        sheets=[
            *_sheets("Asked for what was learned", picked.on_target, steps, weights),
            *_sheets("Unrelated", picked.on_control, steps, weights),
        ],
        again=dump_yaml(picked.facts()),
        suites=[(each.suite.name, len(each.suite.prompts), each.suite.fingerprint) for each in _runs(picked)],
    )


def _runs(picked: Picked) -> tuple[EvalRun, EvalRun]:
    return picked.on_target, picked.on_control


def figure_source(picked: Picked) -> str:
    """The figure as a data URL."""
    buffer = io.BytesIO()
    picked.figure().savefig(buffer, format="png", dpi=130)
    return _inline(buffer.getvalue(), "png")


def _inline(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _sheets(heading: str, run: EvalRun, steps: list[int], weights: list[float]) -> list[dict[str, Any]]:
    """For the first prompts: the base's picture, then checkpoints by weights, all of one seed."""
    sheets = []
    scorer = run.scorers[0]
    cells = {(cell.contender, cell.prompt_id): cell for cell in run.cells if cell.index == 0}

    def tile(contender: str, prompt: str) -> dict[str, str]:
        cell = cells[contender, prompt]
        picture = run.picture(cell)
        score = cell.scores.get(scorer.name)
        value = score.values.get(scorer.metrics[0].name) if score else None
        if picture is None:
            return {"source": "", "text": cell.error or "no picture"}
        data = encode(picture)
        kind = "png" if data.startswith(b"\x89PNG") else "webp"
        return {"source": _inline(data, kind), "text": "" if value is None else f"{value:.2f}"}

    for prompt in run.suite.prompts[:SHOWN]:
        rows = [(str(step), [tile(Candidate(step, weight).name, prompt.id) for weight in weights]) for step in steps]
        sheets.append({"heading": heading, "prompt": prompt.prompt, "base": tile(BASE, prompt.id), "rows": rows})
    return sheets
