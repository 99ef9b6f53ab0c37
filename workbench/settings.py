"""Where things are kept and what they run on: arguments first, then `WORKBENCH_*` variables, then defaults.

Settings decide where and how fast, never what a picture looks like: that is the recipe's business.
"""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from platformdirs import user_data_path
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from workbench.errors import SettingsError, nearest

PREFIX = "WORKBENCH_"
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


class Settings(BaseSettings):
    """What one session needs to know of the machine it runs on."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    home: Path = Field(
        default_factory=lambda: user_data_path("workbench"),
        description="Folder of pictures, models, adapters and the database; default: the user's data folder.",
    )
    database: str | None = Field(
        default=None,
        repr=False,  # it may hold a password
        description="SQLAlchemy URL of the database; default: the SQLite file workbench.sqlite in home.",
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:N or mps; default: auto, the fastest there.")
    batch_size: int | None = Field(
        default=None, ge=1, le=4096, description="Pictures denoised at once, 1 to 4096; default: what memory allows."
    )
    models: Path | None = Field(default=None, description="A further folder that holds diffusers model folders.")

    @field_validator("home", "models")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not _DEVICE.fullmatch(device):
            raise ValueError("it is none of auto, cpu, cuda, cuda:N, mps")
        return device


def settings(**changes: Any) -> Settings:
    """Settings from the arguments, the environment and the defaults, in that order of precedence.

    Args:
        changes: fields of `Settings`; None means "not given".

    Raises:
        SettingsError: an unknown field, a value that cannot be used, or a `WORKBENCH_*` variable that looks like a
            misspelt one of ours. Variables that resemble none of ours belong to other programs and are left alone.
    """
    fields = Settings.model_fields
    for name in changes:
        if name not in fields:
            raise SettingsError(f"There is no setting {name!r}.", nearest(name, fields))
    known = {PREFIX + name.upper() for name in fields}
    for variable in os.environ:
        close = get_close_matches(variable, known, n=1, cutoff=0.85) if variable.startswith(PREFIX) else []
        if close and variable not in known:
            raise SettingsError(f"There is no setting {variable!r}.", f"Did you mean {close[0]!r}?")
    given = {name: value for name, value in changes.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise _explain(error, given) from None


def _explain(error: ValidationError, given: dict[str, Any]) -> SettingsError:
    first = error.errors()[0]
    field = str(first["loc"][0])
    name = field if field in given else PREFIX + field.upper()
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    description = Settings.model_fields[field].description
    return SettingsError(f"The setting {name} cannot be {first['input']!r}: {reason}.", f"{field}: {description}")
