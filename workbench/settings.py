"""Where things are kept and what they run on, and where each setting came from.

Command line (or argument) beats environment (`WORKBENCH_*`) beats `workbench.yaml` in the working folder beats
`workbench.yaml` in the home folder beats default. Settings decide where and how fast, never what a picture looks like:
that is the recipe's business.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from workbench.errors import SettingsError, nearest
from workbench.redaction import HIDDEN, redact
from workbench.settings_file import NAME, Entry, read_settings

PREFIX = "WORKBENCH_"
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_PATHS = ("home", "models")

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["console", "json"]


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
    keep_models: float | None = Field(
        default=None,
        ge=0,
        le=10_000,
        allow_inf_nan=False,
        description="Weights kept in memory between pictures, in GB, 0 to 10000; default: those of one model.",
    )
    log_level: LogLevel = Field(
        default="warning", description="Least that is logged: debug, info, warning or error; default: warning."
    )
    log_format: LogFormat = Field(
        default="console", description="console for people, json for one JSON object a line; default: console."
    )

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


@dataclass(frozen=True, slots=True)
class Origin:
    """A setting's value, for people, and where it came from."""

    name: str
    value: str | None  # secrets are hidden
    source: str  # argument, environment, file or default
    place: str  # the variable, or the file and line; empty: nothing to add


def settings(**changes: Any) -> Settings:
    """Settings from arguments, environment, files and defaults, in that order of precedence.

    Args:
        changes: fields of `Settings`; None means "not given".

    Raises:
        SettingsError: an unknown field, a value that cannot be used, or a `WORKBENCH_*` variable that looks like a
            misspelt one of ours. Variables that resemble none of ours belong to other programs and are left alone.
    """
    return _Layers(changes).settings()


def origins(**changes: Any) -> list[Origin]:
    """Every setting with its value and where it came from; secrets are hidden.

    Args:
        changes: as for `settings`.

    Raises:
        SettingsError: as `settings`.
    """
    return _Layers(changes).origins()


def files(**changes: Any) -> list[Path]:
    """The files that are read where they exist, the stronger one first.

    Raises:
        SettingsError: as `settings`.
    """
    return _Layers(changes).paths


class _Layers:
    """What was said in each place, checked for names; values are checked by `Settings`."""

    def __init__(self, changes: dict[str, Any]) -> None:
        fields = Settings.model_fields
        for name in changes:
            if name not in fields:
                raise SettingsError(f"There is no setting {name!r}.", nearest(name, fields))
        _check_variables()
        self.given = {name: value for name, value in changes.items() if value is not None}
        self.variables = {name for name in fields if _variable(name)}
        here = Path.cwd() / NAME
        self.entries = read_settings(here, fields, _PATHS)
        self.paths = [here]
        home = Settings(**self._said("home")).home / NAME  # where it is decides which other file is read
        if home != here:
            self.paths.append(home)
            below = read_settings(home, fields, _PATHS)
            if "home" in below:
                raise SettingsError(
                    f"{below['home'].place}: the home folder cannot name another home.",
                    f"Set {PREFIX}HOME, or write it into a {NAME} in the working folder.",
                )
            self.entries = below | self.entries

    def settings(self) -> Settings:
        values = {name: entry.value for name, entry in self.entries.items() if name not in self.variables}
        try:
            return Settings(**(values | self.given))
        except ValidationError as error:
            raise self._explain(error) from None

    def origins(self) -> list[Origin]:
        chosen = self.settings()
        return [self._origin(name, getattr(chosen, name)) for name in Settings.model_fields]

    def _origin(self, name: str, value: Any) -> Origin:
        text = None if value is None else shown(value)
        if name in self.given:
            return Origin(name, text, "argument", "")
        if name in self.variables:
            return Origin(name, text, "environment", _variable(name))
        if entry := self.entries.get(name):
            return Origin(name, text, "file", entry.place)
        return Origin(name, text, "default", "")

    def _said(self, name: str) -> dict[str, Any]:
        """What an argument or the file of the working folder says; the environment is read by pydantic."""
        try:
            if name in self.given:
                Settings(**{name: self.given[name]})
                return {name: self.given[name]}
            if name in self.entries and name not in self.variables:
                Settings(**{name: self.entries[name].value})
                return {name: self.entries[name].value}
            Settings()
        except ValidationError as error:
            raise self._explain(error) from None
        return {}

    def _explain(self, error: ValidationError) -> SettingsError:
        first = error.errors()[0]
        field = str(first["loc"][0])
        origin = self._place(field)
        reason = first["msg"].removeprefix("Value error, ")
        reason = reason[:1].lower() + reason[1:]
        description = Settings.model_fields[field].description
        value = redact(str(first["input"])) if isinstance(first["input"], str | Path) else first["input"]
        return SettingsError(f"{origin} cannot be {value!r}: {reason}.", f"{field}: {description}")

    def _place(self, field: str) -> str:
        if field in self.given:
            return f"The setting {field}"
        if field in self.variables:
            return f"The setting {_variable(field)}"
        entry: Entry | None = self.entries.get(field)
        return f"{entry.place}: the setting {field}" if entry else f"The setting {field}"


def _variable(name: str) -> str:
    """The environment variable that gives a setting, in its own spelling; empty: none does. Case does not matter."""
    wanted = (PREFIX + name).upper()
    return next((variable for variable, value in os.environ.items() if variable.upper() == wanted and value), "")


def _check_variables() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for variable in os.environ:
        upper = variable.upper()
        close = get_close_matches(upper, known, n=1, cutoff=0.85) if upper.startswith(PREFIX) else []
        if close and upper not in known:
            raise SettingsError(f"There is no setting {variable!r}.", f"Did you mean {close[0]!r}?")


def shown(value: Any) -> str:
    """A setting's value for people, without what is secret in it."""
    return HIDDEN if isinstance(value, SecretStr) else redact(str(value), home=Path("/"))
