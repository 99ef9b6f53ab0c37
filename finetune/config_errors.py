"""One sentence about the first fault of a training configuration, with the nearest right name of an unknown field."""

from __future__ import annotations

from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from workbench.errors import WorkbenchError, nearest


class TrainConfigError(WorkbenchError):
    """A training configuration is unreadable, or a field of it is unknown, out of range or senseless."""

    code = "WB510"


def explain(error: ValidationError, cls: type[BaseModel]) -> TrainConfigError:
    """The first complaint of pydantic about a configuration of class `cls` as one sentence and a remedy."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join(path)
    if first["type"] == "extra_forbidden":
        owner = _model_at(cls, path[:-1])
        known = owner.model_fields if owner else cls.model_fields
        return TrainConfigError(f"There is no field {name!r} in a training configuration.", nearest(path[-1], known))
    if first["type"] == "missing":
        return TrainConfigError(f"The training configuration lacks {name!r}.", "Only model and data must be given.")
    reason = first["msg"].removeprefix("Value error, ").removesuffix(".")
    if not path:
        return TrainConfigError(f"The training configuration cannot be used: {reason}.", "Correct it and run again.")
    owner = _model_at(cls, path[:-1])
    field = owner.model_fields.get(path[-1]) if owner else None
    value = repr(first["input"])
    value = value if len(value) <= 80 else value[:77] + "..."
    return TrainConfigError(
        f"The field {name} cannot be {value}: {reason[:1].lower()}{reason[1:]}.",
        field.description if field and field.description else "Correct the value.",
    )


def _model_at(cls: type[BaseModel], path: list[str]) -> type[BaseModel] | None:
    """The part of the configuration that the fields of `path` lead to."""
    for name in path:
        field = cls.model_fields.get(name)
        kind: Any = field.annotation if field else None
        options = [kind, *get_args(kind)] if get_origin(kind) else [kind]
        models = [each for each in options if isinstance(each, type) and issubclass(each, BaseModel)]
        if not models:
            return None
        cls = models[0]
    return cls
