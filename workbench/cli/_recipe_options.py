"""Command-line options made from the recipe's fields, so that help, names and ranges have one source."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
import yaml

from workbench.errors import RecipeError, nearest
from workbench.recipe import Recipe

_SHORT = {"guidance_scale": ["--guidance"]}
# No single word says these: `--set adapters='[{name: N, weight: W}]'`.
_STRUCTURED = ("adapters", "references", "redux", "regions", "boxes")
_EXAMPLES = {
    "adapters": "adapters='[{name: N, weight: 1}]'",
    "references": "references='[{picture: a.png, size: exact}]'",
    "redux": "redux='[{picture: a.png, weight: 0.7}]'",
    "regions": "regions='[{box: [0, 0, 0.5, 1], prompt: a red circle}]'",
    "boxes": "boxes='[{id: cat_1, box: [0, 0, 0.5, 1], desc: a black cat}]'",
}
# One word says each of these, in its plain form.
_REPEATED = {"references": "--reference", "redux": "--redux", "regions": "--region", "boxes": "--box"}
_METAVARS = {"regions": "PLACE: TEXT", "boxes": "ID: PLACE: TEXT"}


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Replace the parameter `fields` of a command by one option per recipe field.

    The command is called with `fields` as a dictionary of those that were given, as text or as a list of texts.
    """
    signature = inspect.signature(command, eval_str=True)
    names = [name for name in Recipe.model_fields if name not in _STRUCTURED or name in _REPEATED]

    def called(**arguments: Any) -> Any:
        given = {name: arguments.pop(name) for name in names}
        return command(**arguments, fields={name: text for name, text in given.items() if text not in (None, [])})

    parameters = [parameter for parameter in signature.parameters.values() if parameter.name != "fields"]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    options = [_parameter(name) for name in names]
    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__signature__ = inspect.Signature([*options, *parameters])  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in [*options, *parameters]}
    return called


def parse_fields(options: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Recipe fields from options and `field=value` assignments; types and ranges are the recipe's to check.

    Args:
        options: text, or a list of texts, by field name.
        assignments: as given to `--set`. An empty value of an optional field means the model's default.

    Raises:
        RecipeError: an assignment without '=', an unknown field, a field given twice.
    """
    texts = dict(options)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise RecipeError(f"--set cannot read {assignment!r}.", "Write field=value, for example --set steps=20.")
        if name not in Recipe.model_fields:
            raise RecipeError(f"There is no recipe field {name!r}.", nearest(name, Recipe.model_fields))
        if name in texts:
            raise RecipeError(f"The recipe field {name!r} is given twice.", "Give it once.")
        texts[name] = text
    return {name: _value(name, text) if isinstance(text, str) else text for name, text in texts.items()}


def _value(name: str, text: str) -> Any:
    field = Recipe.model_fields[name]
    if name in _STRUCTURED:
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            raise RecipeError(
                f"The recipe field {name!r} cannot be {text!r}.",
                f"Write for example {_EXAMPLES[name]}.",
            ) from None
    return None if text == "" and field.default is None else text


def _parameter(name: str) -> inspect.Parameter:
    field = Recipe.model_fields[name]
    flags = ["--" + name.replace("_", "-"), *_SHORT.get(name, [])]
    help_text = field.description or ""
    if field.default not in (None, "", ()):
        help_text += f" Default: {field.default}."
    if name in _REPEATED:
        help_text = f"{help_text} Repeat the option for several."
        several = typer.Option(
            *dict.fromkeys((_REPEATED[name], flags[0])),
            metavar=_METAVARS.get(name, "PICTURE"),
            help=help_text,
            show_default=False,
        )
        return inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[list[str] | None, several]
        )
    option = typer.Option(*flags, metavar=_metavar(name), help=help_text, show_default=False)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option]
    )


def _metavar(name: str) -> str:
    schema = Recipe.model_json_schema()["properties"][name]
    kinds = [part.get("type") for part in schema.get("anyOf", [schema])]
    return {"integer": "N", "number": "X"}.get(str(kinds[0]), "TEXT")
