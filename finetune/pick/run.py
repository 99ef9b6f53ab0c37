"""Draw every candidate and the base on both kinds of prompts, score, choose, and measure the choice with fresh seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evals.fidelity.pixels import ssim
from evals.running import Contender, EvalRun, run_suite
from evals.scorers import default_scorers
from evals.scoring import Scorer
from evals.suite import Suite
from finetune.pick.candidates import BASE, Candidate, choose_steps, contenders, exported
from finetune.pick.choose import Choice, Values, choose
from finetune.pick.concept import ConceptScorer
from finetune.pick.config import FRESH, PickConfig, PickError
from finetune.pick.result import Confirmed, Picked
from finetune.pick.suites import EXAMPLE, control_suite, target_suite
from finetune.runfolder import RunFolder

if TYPE_CHECKING:
    from workbench.engine.events import CancelToken, Listener
    from workbench.session import Session

Scorers = list[str | Scorer]


def pick(
    session: Session,
    run: RunFolder,
    config: PickConfig | None = None,
    *,
    listen: Listener | None = None,
    told: Callable[[int, int], None] | None = None,
    cancel: CancelToken | None = None,
) -> Picked:
    """Say which checkpoint of a run to keep, and at which weight.

    Pictures and scores that are in the session's home are not made again, so a second pick with one more weight costs
    that weight only.

    Args:
        session: draws; its catalog holds the model.
        run: with checkpoints.
        config: what is drawn and scored.
        listen: told the session's events.
        told: told how many scores are done, of how many, for each part of the work.
        cancel: stops within one step; what was finished is kept.

    Raises:
        WorkbenchError: no checkpoint, no prompts, no scorer, an unknown model or suite, or no picture with a score.
        Cancelled: `cancel` was used.
    """
    config = config or PickConfig()
    model = session.catalog.model(config.model or run.config.model)
    target = target_suite(config.suite, run, config.limit)
    control = control_suite(config.control, model.family.name, config.control_limit)
    candidates = [Candidate(step, weight) for step in choose_steps(run, config.steps) for weight in config.weights]
    scorers = _scorers(config.scorers, target, config.suite)
    control_scorers = _scorers(config.control_scorers, control, config.control)
    adapters = {step: exported(run, step, session.catalog) for step in {each.step for each in candidates}}

    def draw(suite: Suite, who: Sequence[Contender], judges: Scorers, base_seed: int) -> EvalRun:
        return run_suite(
            session, suite, who, seeds=config.seeds, scorers=judges, base_seed=base_seed,
            listen=listen, told=told, cancel=cancel,
        )  # fmt: skip

    def measure(chosen: Sequence[Candidate], base_seed: int) -> _Measured:
        who = contenders(chosen, adapters, model.name, config.fields)
        on_target = draw(target, who, scorers, base_seed)
        on_control = draw(control, who, control_scorers, base_seed)
        return _Measured(on_target, on_control, *_values(on_target, on_control, chosen))

    first = measure(candidates, config.base_seed)
    choice = choose(first.target, first.control, first.drift)
    confirmed = None
    if config.confirm and choice.keep is not None:
        kept = choice.keep.candidate
        again = measure([kept], config.base_seed + FRESH)
        confirmed = Confirmed(
            again.target.gain(kept), again.control.gain(kept) if again.control else None, again.drift.mean(kept)
        )
    return Picked(
        run=run,
        config=config,
        model=model.name,
        choice=choice,
        confirmed=confirmed,
        adapters=adapters,
        target=first.target,
        control=first.control,
        on_target=first.on_target,
        on_control=first.on_control,
    )


@dataclass(frozen=True, slots=True)
class _Measured:
    on_target: EvalRun
    on_control: EvalRun
    target: Values
    control: Values | None
    drift: Values


def _scorers(names: Sequence[str], suite: Suite, asked: str) -> Scorers:
    """The scorers that were named, else the ones that fit the suite.

    Raises:
        PickError: neither says what to measure.
    """
    if names:
        return [ConceptScorer() if name == ConceptScorer.name else name for name in names]
    if asked.startswith(EXAMPLE):
        return [ConceptScorer()]
    if suite.scorers or any(each.ask.get("text") for each in suite.prompts):
        return list(default_scorers(suite))
    if suite.name.startswith("nano-"):
        return ["scene"]
    raise PickError(
        f"The prompts {suite.name!r} do not say what to measure.", "Give --scorer; `evals scorers` lists them."
    )


def _values(
    on_target: EvalRun, on_control: EvalRun, candidates: Sequence[Candidate]
) -> tuple[Values, Values | None, Values]:
    target = _main(on_target, candidates)
    if target is None:
        reasons = {cell.error or score.error for cell in on_target.cells for score in cell.scores.values()} - {""}
        first = f": {min(reasons)}" if reasons else ""
        raise PickError(f"No picture of {on_target.suite.name!r} has a score{first}.", "Use another scorer or suite.")
    return target, _main(on_control, candidates), _drift(on_control, candidates)


def _main(run: EvalRun, candidates: Sequence[Candidate]) -> Values | None:
    """The first scorer's main metric, picture by picture; None where no picture of the base has it."""
    scorer = run.scorers[0]
    metric = scorer.metrics[0]
    columns: dict[str, list[float]] = {name: [] for name in run.names}
    for cell in run.cells:
        score = cell.scores.get(scorer.name)
        value = None if cell.error or score is None or score.error else score.values.get(metric.name)
        columns[cell.contender].append(np.nan if value is None else value)
    if all(np.isnan(column).all() for column in columns.values()) or np.isnan(columns[BASE]).all():
        return None
    share = metric.high == 1.0 and not metric.unit
    title = f"{scorer.name}: {metric.name.replace('_', ' ')}" if metric.name != scorer.name else scorer.name
    return _aligned(run, columns, candidates, title=title, share=share, direction=metric.direction)


def _drift(run: EvalRun, candidates: Sequence[Candidate]) -> Values:
    """1 - SSIM of every picture to the base's of the same prompt and seed."""
    base = {(cell.prompt_id, cell.index): cell for cell in run.cells if cell.contender == BASE}
    columns: dict[str, list[float]] = {name: [] for name in run.names}
    for cell in run.cells:
        ours, theirs = run.picture(cell), run.picture(base[cell.prompt_id, cell.index])
        columns[cell.contender].append(np.nan if ours is None or theirs is None else 1 - ssim(ours, theirs))
    if np.isnan(columns[BASE]).all():
        error = next((cell.error for cell in run.cells if cell.error), "")
        raise PickError(f"No picture of the control {run.suite.name!r} could be drawn: {error}", "Choose another.")
    return _aligned(run, columns, candidates, title="drift", share=False, direction="lower")


def _aligned(run: EvalRun, columns: dict[str, list[float]], candidates: Sequence[Candidate], **facts: object) -> Values:
    groups = {prompt.id: prompt.group for prompt in run.suite.prompts}
    clusters = tuple(groups[cell.prompt_id] for cell in run.cells if cell.contender == BASE)
    values = {each: np.array(columns[each.name]) for each in candidates}
    return Values(clusters=clusters, base=np.array(columns[BASE]), candidates=values, **facts)  # type: ignore[arg-type]


__all__ = ["Choice", "pick"]
