"""The search itself: Optuna proposes, the suite judges, what is hopeless stops early, and all of it resumes.

Every proposal follows from the space's seed and the finished trials alone, so a search that was killed and resumed ends
as one that was not. Pictures and scores are cached by content: repeating a search computes nothing.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.running import Contender, EvalRun, run_suite
from evals.scorers import make_scorers
from evals.scoring import Scorer
from evals.suite import Suite, load_suite
from evals.tune.objective import Part, objective, parts_of
from evals.tune.result import DEFAULT, Trial, TuneResult, concluded
from evals.tune.space import Range, Space, TuneError, Value, recipe_fields
from evals.tune.split import head, rungs, split
from workbench.errors import Cancelled, WorkbenchError
from workbench.recipe import Recipe, resolve
from workbench.store import work_units
from workbench.store.files import make_folder, write_atomically

if TYPE_CHECKING:
    import optuna

    from workbench.engine.events import CancelToken, Listener
    from workbench.session import Session

JOURNAL = "study.journal"
SPACE = "space.yaml"
REPEATS = 100
Tell = Callable[[Trial], None]


@dataclass(frozen=True, slots=True)
class TuneEstimate:
    """What a search costs at most; successive halving and repeated proposals make it less."""

    pictures: int
    seconds: float | None  # for all of them at the dearest proposal; None when the model has no history here
    search: int  # prompts that the search sees
    held_out: int  # prompts for the comparison at the end


def tune(
    session: Session,
    space: Space,
    folder: str | Path,
    *,
    suite: Suite | None = None,
    scorers: Sequence[Scorer] | None = None,
    listen: Listener | None = None,
    tell: Tell | None = None,
    cancel: CancelToken | None = None,
) -> TuneResult:
    """Search, and compare the winner with the default on prompts that the search has not seen.

    Args:
        session: makes the pictures, once each.
        space: what is searched; more `trials` than before go on with the same search.
        folder: of `study.journal` and the trials' scores; made when absent.
        suite: instead of loading the space's.
        scorers: instead of making the objective's by name.
        listen: told the session's events.
        tell: told every trial as it ends.
        cancel: stops within one step; what is finished is kept, and the next call goes on.

    Raises:
        TuneError: the folder holds another search, the objective does not fit the suite, or no trial succeeded.
        WorkbenchError: an unknown suite, scorer or model.
        Cancelled: `cancel` was used.
    """
    suite = (suite or load_suite(space.suite)).limited(space.limit)
    made = make_scorers(list(scorers) if scorers is not None else list(space.scorers))
    judge = _Judge(session, space, parts_of(space.objective, made), made, listen, cancel)
    seen, unseen = split(suite, space.held_out, space.seed)
    sizes = rungs(space.prompts, len(seen.prompts))
    folder = Path(folder)
    make_folder(folder / "trials")
    study = _open_study(folder, space, suite)
    judge.score(DEFAULT, space.fields({}), head(seen, sizes[0]))  # what cannot work fails here, before any trial
    while len(_finished(study)) < space.trials:
        if cancel is not None and cancel.cancelled:  # the session looks at it only while it draws
            raise Cancelled("The search was stopped.", "Run it again to go on.")
        trial = _one_trial(study, space, seen, sizes, judge=judge, folder=folder)
        if trial is None:
            break
        if tell:
            tell(trial)
    default = judge.score(DEFAULT, space.fields({}), seen)[1]
    trials = tuple(_trial(each, space, number) for number, each in enumerate(_finished(study)))
    return concluded(
        session, space, trials, default, unseen, parts=judge.parts, scorers=made, listen=listen, cancel=cancel
    )


def estimate_tune(session: Session, space: Space, suite: Suite | None = None) -> TuneEstimate:
    """What a search costs at most, before anything runs.

    Raises:
        WorkbenchError: an unknown suite or model, or a proposal that the model cannot draw.
    """
    suite = (suite or load_suite(space.suite)).limited(space.limit)
    seen, unseen = split(suite, space.held_out, space.seed)
    seconds: float | None = 0.0
    dearest = 0.0
    for params in _corners(space):
        resolved = resolve(Recipe.parse(space.fields(params)), session.catalog)
        speed = session.store.seconds_per_unit(resolved.weights)
        seconds = None if speed is None else seconds
        dearest = max(dearest, (speed or 0.0) * work_units(resolved.recipe))
    pictures = space.seeds * ((space.trials + 1) * len(seen.prompts) + 2 * len(unseen.prompts))
    return TuneEstimate(
        pictures, None if seconds is None else pictures * dearest, len(seen.prompts), len(unseen.prompts)
    )


def _corners(space: Space) -> list[dict[str, Value]]:
    """The default, and one proposal for each end of a range and each choice."""
    found: list[dict[str, Value]] = [{}]
    for name, values in space.search.items():
        ends = (values.low, values.high) if isinstance(values, Range) else values
        found += [{name: value} for value in ends]
    return found


@dataclass(frozen=True, slots=True)
class _Judge:
    """Draws and scores one recipe over some prompts."""

    session: Session
    space: Space
    parts: tuple[Part, ...]
    scorers: list[Scorer]
    listen: Listener | None
    cancel: CancelToken | None

    def score(self, name: str, fields: dict[str, Any], suite: Suite) -> tuple[EvalRun, dict[str, float]]:
        run = run_suite(
            self.session, suite, [Contender(name, fields)], seeds=self.space.seeds, scorers=self.scorers,
            listen=self.listen, cancel=self.cancel,
        )  # fmt: skip
        return run, objective(run, name, self.parts)


def _one_trial(
    study: optuna.Study, space: Space, seen: Suite, sizes: tuple[int, ...], *, judge: _Judge, folder: Path
) -> Trial | None:
    """Propose, judge on more and more prompts, and write down how it ended. None when nothing new is proposed."""
    import optuna

    number = len(_finished(study))
    asked = _propose(study, space, number)
    if asked is None:
        return None
    run: EvalRun | None = None
    try:
        for size in sizes:
            run, means = judge.score(f"trial {number}", space.fields(asked.params), head(seen, size))
            asked.set_user_attr("means", means)
            asked.set_user_attr("prompts", size)
            asked.report(means["objective"], size)
            if size < sizes[-1] and asked.should_prune():
                ended = study.tell(asked, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            ended = study.tell(asked, means["objective"])
    except Cancelled:
        raise
    except WorkbenchError as error:  # a proposal that cannot be drawn is a finding, not the end of the search
        asked.set_user_attr("error", str(error))
        ended = study.tell(asked, state=optuna.trial.TrialState.FAIL)
    if run is not None:
        table = io.BytesIO()
        run.frame().assign(trial=number).to_parquet(table, index=False)
        write_atomically(folder / "trials" / f"{number:05}.parquet", table.getvalue())
    return _trial(ended, space, number)


def _propose(study: optuna.Study, space: Space, number: int) -> optuna.Trial | None:
    """The next recipe that was not judged before; None when 100 proposals in a row were.

    Each proposal has a sampler of its own, seeded by its number: nothing is carried in memory that a resumed search would
    lack. Samplers leave failed trials out, so a repeated proposal is closed as one and changes nothing.
    """
    import optuna

    known = [trial.params for trial in _finished(study)]
    for attempt in range(REPEATS):
        study.sampler = optuna.samplers.TPESampler(seed=(space.seed * 10_007 + number) * REPEATS + attempt)
        asked = study.ask(_distributions(space))
        if asked.params not in known:
            return asked
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
    return None


def _distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, optuna.distributions.BaseDistribution] = {}
    for name, values in space.search.items():
        if not isinstance(values, Range):
            found[name] = CategoricalDistribution(list(values))
        elif _whole(space, name):
            found[name] = IntDistribution(int(values.low), int(values.high), values.log, int(values.step or 1))
        else:
            found[name] = FloatDistribution(float(values.low), float(values.high), values.log, values.step)
    return found


def _whole(space: Space, name: str) -> bool:
    """Whether a recipe field takes integers only."""
    if name not in Recipe.model_fields:
        return False
    try:
        Recipe.parse(space.base.model_dump() | recipe_fields(space.base, {name: 16.5}))
    except WorkbenchError:
        return True
    return False


def _open_study(folder: Path, space: Space, suite: Suite) -> optuna.Study:
    """The study of a folder, begun or gone on with; trials that a crash left open are closed."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
        study_name="tune",
        direction="maximize",
        pruner=optuna.pruners.SuccessiveHalvingPruner(
            min_resource=space.prompts.first, reduction_factor=space.prompts.factor
        ),
        load_if_exists=True,
    )
    fingerprint = space.fingerprint(suite.fingerprint)
    if study.user_attrs.get("space", fingerprint) != fingerprint:
        raise TuneError(f"The folder {str(folder)!r} holds another search.", "Name another folder.")
    study.set_user_attr("space", fingerprint)
    write_atomically(folder / SPACE, space.to_yaml().encode())
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that ended by themselves; those that a crash or a stop broke off are proposed again."""
    from optuna.trial import TrialState

    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or "error" in trial.user_attrs
    ]


def _trial(trial: optuna.trial.FrozenTrial, space: Space, number: int) -> Trial:
    """Optuna's record as ours; `number` counts the trials that ended by themselves, as Optuna's counts others, too."""
    from optuna.trial import TrialState

    state = {TrialState.COMPLETE: "done", TrialState.PRUNED: "stopped early"}.get(trial.state, "failed")
    return Trial(
        number, state, dict(trial.params), trial.user_attrs.get("means", {}),
        trial.user_attrs.get("prompts", 0), space.fields(trial.params), trial.user_attrs.get("error", ""),
    )  # fmt: skip
