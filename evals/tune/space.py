"""What is searched, by what measure, over which prompts: a YAML file, checked before anything runs.

recipe: {model: klein-nano-base}
suite: nano-1
objective: {scene.exact: 1}
search:
  steps: {low: 4, high: 28, step: 4}
  guidance_scale: {low: 1, high: 8}
  adapters.style: {low: 0, high: 1.5, step: 0.25}
  checkpoint: [none, style-1000, style-2000]
trials: 30
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from workbench.errors import WorkbenchError, nearest
from workbench.recipe import Recipe, dump_yaml

ADAPTER, CHECKPOINT, WEIGHT, NONE = "adapters.", "checkpoint", "checkpoint_weight", "none"
OWN = (
    *("prompt", "seed", "task", "references", "image", "mask", "margins", "adapters"),
    *("control", "control_type", "redux"),
)
"""Recipe fields that are not searched: they belong to the suite, or have a key of their own."""
_LARGEST = 2**20  # bytes of a space file

Value = str | int | float


class TuneError(WorkbenchError):
    """A search space is malformed, does not fit the model, or its folder holds another search."""

    code = "WB421"


class Range(BaseModel):
    """Numbers from `low` to `high`, both included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int | float = Field(allow_inf_nan=False)
    high: int | float = Field(allow_inf_nan=False)
    step: Annotated[int | float | None, Field(gt=0, allow_inf_nan=False)] = None  # None: any number, or every integer
    log: bool = False  # spread evenly over powers

    @model_validator(mode="after")
    def _orderly(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) is not below high ({self.high})")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a log range starts above 0 and has no step")
        if self.step is not None and abs((n := (self.high - self.low) / self.step) - round(n)) > 1e-9:
            raise ValueError(f"steps of {self.step} from {self.low} do not arrive at {self.high}")
        return self


class Prompts(BaseModel):
    """Successive halving: every trial sees `first` prompts, the best 1 / `factor` of them `factor` times as many, ..."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: int = Field(default=8, ge=1)
    factor: int = Field(default=3, ge=2, le=16)


class Space(BaseModel):
    """A search. Two runs of the same space propose the same recipes in the same order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: dict[str, Any] = Field(default_factory=dict)  # the default that the winner must beat
    suite: str = Field(min_length=1)
    limit: int | None = Field(default=None, ge=2)  # prompts of the suite, spread over its kinds
    seeds: int = Field(default=1, ge=1, le=64)  # pictures of each prompt
    objective: dict[str, float] = Field(min_length=1)  # "scorer.metric" to weight, above 0
    search: dict[str, Range | tuple[Value, ...]] = Field(min_length=1)
    trials: int = Field(default=30, ge=1, le=10_000)
    prompts: Prompts = Prompts()
    held_out: float = Field(default=0.4, gt=0, lt=1)  # share of the prompts that only winner and default see
    seed: int = Field(default=0, ge=0, lt=1000)

    @field_validator("objective")
    @classmethod
    def _weights(cls, objective: dict[str, float]) -> dict[str, float]:
        for name, weight in objective.items():
            if not all(name.partition(".")):
                raise ValueError(f"{name!r} is no metric; write SCORER.METRIC")
            if not 0 < weight < float("inf"):
                raise ValueError(f"the weight of {name!r} is not above 0; the metric knows its own direction")
        return objective

    @model_validator(mode="after")
    def _searchable(self) -> Space:
        base = Recipe.parse(self.recipe)
        for name, values in self.search.items():
            if isinstance(values, tuple) and len(set(values)) < max(2, len(values)):
                raise ValueError(f"the choices of {name!r} are not two or more different ones")
            self._check(base, name, values)
        if WEIGHT in self.search and CHECKPOINT not in self.search:
            raise ValueError(f"{WEIGHT!r} needs {CHECKPOINT!r}")
        return self

    def _check(self, base: Recipe, name: str, values: Range | tuple[Value, ...]) -> None:
        """Every end of a range and every choice must be a value that the recipe takes."""
        fields = [each for each in Recipe.model_fields if each not in OWN]
        if name in OWN:
            raise ValueError(f"{name!r} cannot be searched")
        if not name.startswith(ADAPTER) and name not in (*fields, CHECKPOINT, WEIGHT):
            raise ValueError(f"there is no recipe field {name!r}. {nearest(name, [*fields, CHECKPOINT, WEIGHT])}")
        if name == CHECKPOINT and not (isinstance(values, tuple) and all(isinstance(each, str) for each in values)):
            raise ValueError(f"{CHECKPOINT!r} is a list of adapter names, or {NONE!r}")
        for value in (values.low, values.high) if isinstance(values, Range) else values:
            given = {name: value} if name != WEIGHT else {CHECKPOINT: "any", WEIGHT: value}
            Recipe.parse(base.model_dump() | recipe_fields(base, given))

    @classmethod
    def parse(cls, values: Any) -> Space:
        """A space from plain values.

        Raises:
            TuneError: a field is unknown, malformed or out of range.
            RecipeError: the recipe or a value to be searched is none that a recipe takes.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first: Any = error.errors()[0]
            where = ".".join(
                str(part) for part in first["loc"] if part not in ("Range", "tuple[str | int | float, ...]")
            )
            hint = nearest(str(first["loc"][-1]), cls.model_fields) if first["type"] == "extra_forbidden" else ""
            message = first["msg"].removeprefix("Value error, ")
            raise TuneError(
                f"The search space cannot be used: {where + ': ' if where else ''}{message}.", hint
            ) from None

    @property
    def base(self) -> Recipe:
        """The recipe that the winner must beat, without a prompt."""
        return Recipe.parse(self.recipe)

    @property
    def scorers(self) -> tuple[str, ...]:
        """Names of the scorers that the objective needs."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name in self.objective))

    def fields(self, params: Mapping[str, Value]) -> dict[str, Any]:
        """Recipe fields (without prompt and seed) of one proposal."""
        changed = recipe_fields(self.base, params)
        return {"model": self.base.model} | self.base.model_dump(mode="json", exclude_defaults=True) | changed

    def to_yaml(self) -> str:
        """The space as YAML that reads back as it is."""
        return dump_yaml(self.model_dump(mode="json", exclude_defaults=True))

    def fingerprint(self, suite: str) -> str:
        """SHA-256 over all that decides the proposals and their values, with the suite's; the number of trials is no part."""
        values = self.model_dump(mode="json", exclude={"trials"}) | {"suite": suite}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def recipe_fields(base: Recipe, params: Mapping[str, Value]) -> dict[str, Any]:
    """Recipe fields that `params` change; adapters of the base keep their place and get a new weight."""
    weights: dict[str, float] = {each.name: each.weight for each in base.adapters}
    changed: dict[str, Any] = {}
    for name, value in params.items():
        if name.startswith(ADAPTER):
            weights[name.removeprefix(ADAPTER)] = float(value)
        elif name == CHECKPOINT:
            if value != NONE:
                weights[str(value)] = float(params.get(WEIGHT, 1.0))
        elif name != WEIGHT:
            changed[name] = value
    if any(name.startswith(ADAPTER) or name == CHECKPOINT for name in params):
        changed["adapters"] = [{"name": name, "weight": weight} for name, weight in weights.items() if weight]
    return changed


def load_space(path: str | Path) -> Space:
    """Read a space from a YAML file.

    Raises:
        TuneError: the file cannot be read, or holds no space.
        RecipeError: the recipe or a value to be searched is none that a recipe takes.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST:
            raise TuneError(f"The file {str(path)!r} is too large to be a search space.")
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TuneError(f"The file {str(path)!r} cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        raise TuneError(f"The file {str(path)!r} is not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(values, dict):
        raise TuneError(f"The file {str(path)!r} holds no search space.", "Write recipe, suite, objective and search.")
    return Space.parse(values)
