"""All scorers that come with the package: finds the modules that register them, and says what each one needs.

A scorer's module imports nothing heavy at its top (no torch, no onnxruntime), so that listing them takes no time.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from evals import scoring
from evals.scoring import Metric, Scorer, ScorerError
from evals.suite import Suite
from workbench.errors import WorkbenchError

_MODULES = ("evals.scenes.scorer", "evals.typography.scorer", "evals.cost")
_PACKAGES = ("evals.adherence", "evals.fidelity")  # every module of these


@dataclass(frozen=True, slots=True)
class Listed:
    """A registered scorer as `evals scorers` shows it.

    Attributes:
        name: as users write it.
        about: one line.
        version: empty where the scorer cannot be made here and does not say.
        metrics: all its numbers, the main one first.
        missing: what it lacks here and how to get it; empty when it is ready.
    """

    name: str
    about: str
    version: str
    metrics: tuple[Metric, ...]
    missing: str


@functools.cache
def _find() -> None:
    for name in _MODULES:
        parent = name.rpartition(".")[0]
        if importlib.util.find_spec(parent) and importlib.util.find_spec(name):
            importlib.import_module(name)
    for name in _PACKAGES:
        if importlib.util.find_spec(name):
            for module in pkgutil.iter_modules(importlib.import_module(name).__path__, f"{name}."):
                importlib.import_module(module.name)


def scorer_names() -> dict[str, str]:
    """Names of all scorers with one line about each."""
    _find()
    return scoring.registered()


def make_scorer(name: str, **options: Any) -> Scorer:
    """A scorer by its name.

    Raises:
        ScorerError: there is none of that name, or it cannot work here; the message says what is missing.
    """
    _find()
    return scoring.make_scorer(name, **options)


def make_scorers(names: Sequence[str | Scorer]) -> list[Scorer]:
    """Scorers by name, with options as NAME:OPTION=VALUE,OPTION=VALUE, or as they are; each name once.

    Raises:
        ScorerError: as `make_scorer`, or an option that the scorer does not take.
    """
    made: dict[str, Scorer] = {}
    for each in names:
        scorer = _from_text(each) if isinstance(each, str) else each
        made.setdefault(scorer.name, scorer)
    return list(made.values())


def _from_text(text: str) -> Scorer:
    name, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        option, equals, value = part.partition("=")
        if not equals:
            raise ScorerError(f"The scorer option {part!r} has no value.", "Write NAME:OPTION=VALUE,OPTION=VALUE.")
        options[option.strip()] = yaml.safe_load(value) if value.strip() else ""
    try:
        return make_scorer(name.strip(), **options)
    except TypeError as error:
        if not options:
            raise
        raise ScorerError(f"The scorer {name!r} cannot be made with these options: {error}.") from None


def list_scorers() -> list[Listed]:
    """Every scorer with what it measures, and what it lacks here."""
    found = []
    for name, about in scorer_names().items():
        try:
            made: Any = make_scorer(name)
            missing = ""
        except WorkbenchError as error:
            made, missing = scoring.maker_of(name), str(error)
        metrics = getattr(made, "metrics", ())
        version = getattr(made, "version", "")
        found.append(
            Listed(
                name,
                about,
                version if isinstance(version, str) else "",
                metrics if isinstance(metrics, tuple) else (),
                missing,
            )
        )
    return found


def default_scorers(suite: Suite) -> list[str]:
    """The scorers that a suite is made for: those it names, or `typography` where it asks for text.

    Raises:
        ScorerError: the suite does not say.
    """
    if suite.scorers:
        return list(suite.scorers)
    if any(each.ask.get("text") for each in suite.prompts):
        return ["typography"]
    raise ScorerError(
        f"The suite {suite.name!r} does not say what to measure.", "Name scorers; `evals scorers` lists them."
    )
