"""Approximate caches: modes that leave out a part of the steps' work. Every one changes the picture; none is the default.

A mode is one word with parameters, `taylorseer:interval=4:order=2`, so that it fits a command line and a grid axis. The
canonical form names the version of the method and every parameter, as they decide pixels. No torch here; the work is
done by the hooks of diffusers (`workbench.engine.step_cache`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator

from workbench.errors import RecipeError
from workbench.recipe.conditions import first_step

if TYPE_CHECKING:
    from workbench.recipe.known import Defaults
    from workbench.recipe.recipe import Recipe

EXACT = ("", "none", "exact")
"""Words for no cache."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number of a mode."""

    default: float
    lowest: float
    highest: float
    whole: bool
    says: str


@dataclass(frozen=True, slots=True)
class Method:
    """A cache of diffusers."""

    version: int  # raised when the same parameters give other pixels
    says: str
    parameters: Mapping[str, Parameter]
    alone: bool = False  # whether it decides by the values of the whole batch, so that a picture must be a batch
    ratios: bool = False  # whether it needs magnitude ratios of the checkpoint


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "taylorseer": Method(
            1,
            "predicts what attention adds from earlier steps (Liu et al. 2025, arXiv 2503.06923)",
            {
                "interval": Parameter(5, 2, 1000, True, "steps from one computed step to the next"),
                "order": Parameter(1, 0, 4, True, "terms of the Taylor series after the first"),
                "warmup": Parameter(3, 1, 1000, True, "steps at the start that are computed"),
                "lite": Parameter(0, 0, 1, True, "1: predict the velocity itself and leave all blocks out"),
            },
        ),
        "magcache": Method(
            1,
            "repeats what the blocks add where calibrated ratios say that it hardly changes (Ma et al. 2025)",
            {
                "threshold": Parameter(0.06, 0, 10, False, "accumulated error up to which steps are left out"),
                "skip": Parameter(3, 1, 1000, True, "most steps left out one after the other"),
                "retention": Parameter(0.2, 0, 1, False, "share of the steps, at the start, that is computed"),
            },
            ratios=True,
        ),
        "first_block": Method(
            1,
            "repeats what later blocks add where the first one's answer hardly changes (ParaAttention)",
            {"threshold": Parameter(0.05, 0, 10, False, "relative change of the first block's answer")},
            alone=True,
        ),
    }
)
"""Every mode by its word; the families' rows say which of them a family takes."""

PUBLISHED = "flux1"
"""Name of the magnitude ratios that diffusers ships, `FLUX_MAG_RATIOS`: of FLUX.1 [dev]."""

_WORD = re.compile(r"([a-z_]+)(?:-(\d+))?")
_RATIO = re.compile(r"\d{1,3}(?:\.\d{1,6})?")


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode as it is written: only what stands there."""

    name: str
    values: tuple[tuple[str, float], ...]  # in the order of the method's parameters
    ratios: str | tuple[float, ...] | None = None  # a published table's name, or one ratio a step
    versioned: bool = False  # whether the version is told

    @property
    def method(self) -> Method:
        """The row of the table."""
        return METHODS[self.name]

    def __getitem__(self, name: str) -> float:
        """A parameter's value, or its default."""
        return dict(self.values).get(name, self.method.parameters[name].default)

    def __str__(self) -> str:
        """The text that reads back as this mode."""
        parts = [f"{name}={_number(value)}" for name, value in self.values]
        if self.ratios:
            told = self.ratios if isinstance(self.ratios, str) else "/".join(_number(ratio) for ratio in self.ratios)
            parts.append(f"ratios={told}")
        return ":".join([f"{self.name}-{self.method.version}" if self.versioned else self.name, *parts])

    @property
    def canonical(self) -> str:
        """The text with the version of the method and every parameter."""
        values = tuple((name, self[name]) for name in self.method.parameters)
        return str(Mode(self.name, values, self.ratios, versioned=True))

    @property
    def short(self) -> str:
        """For labels: without version, without what is at its default, and ratios as their number."""
        parts = [
            f"{name}={_number(value)}" for name, value in self.values if value != self.method.parameters[name].default
        ]
        if isinstance(self.ratios, tuple):
            parts.append(f"{len(self.ratios)} ratios")
        return ":".join([self.name, *parts])

    def acts(self, steps: int) -> bool:
        """Whether any of `steps` can be left out; where none can, the picture is the exact one bit for bit."""
        if self.name == "taylorseer":
            return steps > self["warmup"]
        return steps > 1


def parse(text: str) -> Mode:
    """The mode that a text names, such as `taylorseer:interval=4`.

    Raises:
        ValueError: an unknown word or parameter, a value out of range, another version of the method.
    """
    word, *parts = (part.strip() for part in text.strip().split(":"))
    match = _WORD.fullmatch(word)
    if match is None or match[1] not in METHODS:
        close = get_close_matches(word, METHODS, n=1)
        told = f"did you mean {close[0]}?" if close else f"write none or one of {', '.join(METHODS)}"
        raise ValueError(f"there is no cache {word!r}; {told}")
    name, version = match[1], match[2]
    method = METHODS[name]
    if version is not None and int(version) != method.version:
        raise ValueError(f"version {version} of {name} is not here, only {name}-{method.version}")
    given: dict[str, float] = {}
    ratios: str | tuple[float, ...] | None = None
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals or (key not in method.parameters and not (key == "ratios" and method.ratios)):
            known = [*method.parameters, *(["ratios"] if method.ratios else [])]
            raise ValueError(f"{part!r} is no parameter of {name}; it has {', '.join(known)}")
        if key in given or (key == "ratios" and ratios is not None):
            raise ValueError(f"{key} stands there twice")
        if key == "ratios":
            ratios = _ratios(value)
        else:
            given[key] = _value(key, value, method.parameters[key])
    return Mode(
        name, tuple((key, given[key]) for key in method.parameters if key in given), ratios, version is not None
    )


def as_cache(value: object) -> object:
    """A mode's text in its own spelling; none, exact and empty text are no cache."""
    if not isinstance(value, str):
        return value
    return None if value.strip().lower() in EXACT else str(parse(value))


Cache = Annotated[str | None, BeforeValidator(as_cache)]


def fill_cache(recipe: Recipe, model: Defaults) -> str | None:
    """The cache in canonical form; None where it cannot act, as the picture is then the exact one.

    Args:
        recipe: with its steps and strength filled.
        model: what it is drawn with.

    Raises:
        RecipeError: a model whose transformer does not take this cache.
    """
    if recipe.cache is None:
        return None
    mode = parse(recipe.cache)
    if mode.name not in model.caches:
        works = f"Use {' or '.join(model.caches)}, or leave the cache out" if model.caches else "Leave the cache out"
        raise RecipeError(
            f"{model.name} takes no {mode.name} cache: its transformer cannot be run with it in diffusers.",
            f"{works}; without one the picture is exact.",
        )
    if mode.method.ratios and mode.ratios is None:
        if "first_block" not in model.caches:  # the published ratios are those of FLUX.1
            raise RecipeError(
                f"{mode.name} needs magnitude ratios of {model.name}.",
                f"`workbench models caches {model.name} --calibrate` measures them and prints the cache with them.",
            )
        mode = replace(mode, ratios=PUBLISHED)
    assert recipe.steps is not None  # filled by resolve
    left_out = 0 if recipe.image is None else first_step(recipe.steps, recipe.strength or 0.0)
    return mode.canonical if mode.acts(recipe.steps - left_out) else None


def kept_features(text: str, blocks: int) -> int:
    """How many arrays of the size of one block's answer a cache keeps for one pass, for estimates of memory."""
    mode = parse(text)
    if mode.name == "taylorseer":
        return int(mode["order"] + 1) * (1 if mode["lite"] else blocks)
    return 3


def _value(key: str, text: str, parameter: Parameter) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not parameter.lowest <= value <= parameter.highest or (parameter.whole and value != int(value)):
        kind = "a whole number" if parameter.whole else "a number"
        raise ValueError(f"{key} is {kind} from {parameter.lowest:g} to {parameter.highest:g}, not {text!r}")
    return value


def _ratios(text: str) -> str | tuple[float, ...]:
    if text == PUBLISHED:
        return text
    parts = text.split("/")
    if len(parts) < 2 or len(parts) > 1000 or not all(_RATIO.fullmatch(part) for part in parts):
        raise ValueError(f"ratios are {PUBLISHED!r} or numbers such as 1/1.21/1.12, one a step")
    return tuple(float(part) for part in parts)


def _number(value: float) -> str:
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
