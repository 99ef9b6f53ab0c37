"""Everything that decides a pick, as one frozen object that `pick.yaml` keeps."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from workbench.errors import WorkbenchError

FRESH = 1_000_003
"""Added to the seeds of the confirmation, so that it shares no picture with the choice."""


class PickError(WorkbenchError):
    """A pick cannot be made: no prompts, no scorer, nothing to choose from, or no picture has a score."""

    code = "WB522"


class PickConfig(BaseModel):
    """What is drawn, on what it is judged, and against which control."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    suite: str = Field(
        default="",
        description="Prompts that ask for what was learned: a suite's name or file, a YAML list of prompts, or "
        "example:KIND; empty: the captions that the run held out.",
    )
    control: str = Field(
        default="", description="Prompts that do not, in the same forms; empty: by the model's family."
    )
    scorers: tuple[str, ...] = Field(default=(), description="The first one's main metric decides; empty: the suite's.")
    control_scorers: tuple[str, ...] = Field(default=(), description="For the control; empty: the control suite's.")
    steps: tuple[int, ...] = Field(default=(), description="Checkpoints; empty: up to six, evenly spread.")
    weights: tuple[Annotated[float, Field(ge=-10, le=10)], ...] = Field(
        default=(0.6, 0.8, 1.0), min_length=1, description="Weights of the adapter, -10 to 10, each but 0."
    )
    seeds: int = Field(default=2, ge=1, le=1000, description="Pictures of each prompt.")
    limit: int | None = Field(default=24, ge=1, description="Most prompts of the suite; empty: all.")
    control_limit: int | None = Field(default=24, ge=1, description="Most prompts of the control; empty: all.")
    model: str = Field(default="", description="Model to draw with; empty: the one that was trained.")
    fields: dict[str, Any] = Field(default_factory=dict, description="More recipe fields, for example steps.")
    base_seed: int = Field(default=0, ge=0, description="Added to every seed.")
    confirm: bool = Field(default=True, description="Measure the choice again with fresh seeds.")

    @field_validator("weights")
    @classmethod
    def _not_zero(cls, weights: tuple[float, ...]) -> tuple[float, ...]:
        if 0 in weights:
            raise ValueError("a weight of 0 is the base, which is always drawn")
        return tuple(dict.fromkeys(weights))

    @field_validator("fields")
    @classmethod
    def _free(cls, fields: dict[str, Any]) -> dict[str, Any]:
        if own := {"prompt", "seed", "adapters", "model", "references"} & fields.keys():
            raise ValueError(f"{min(own)} is set by the pick itself")
        return fields

    @classmethod
    def parse(cls, values: dict[str, Any]) -> PickConfig:
        """Build a configuration from untrusted values.

        Raises:
            PickError: an unknown field, or a value that cannot be used.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            reason = first["msg"].removeprefix("Value error, ")
            raise PickError(f"The field {name} of a pick cannot be used: {reason}.", "Correct it.") from None
