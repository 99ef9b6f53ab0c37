"""`workbench models`, `fields` and `pictures`: what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli._common import HomeOption, JsonOption, complain, guard, open_session, print_json, print_table
from workbench.recipe import Recipe

if TYPE_CHECKING:
    from workbench.models.catalog import Model


@guard
def models(home: HomeOption = None, json: JsonOption = False) -> None:
    """List the models that can be drawn with.

    What is wrong with the others is told on stderr.
    """
    from workbench.models.catalog import ModelCatalog
    from workbench.settings import settings

    chosen = settings(home=home)
    catalog = ModelCatalog(chosen.home, chosen.models, device=chosen.device)
    rows: list[dict[str, Any]] = [
        {
            "name": model.name,
            "family": model.family.name,
            "width": model.width,
            "height": model.height,
            "steps": model.steps,
            "guidance_scale": model.guidance_scale,
            "distilled": model.is_distilled,
            "precision": model.precision,
            "parameters": model.parameters,
            "licence": _licence(model),
            "path": str(model.path),
        }
        for model in catalog.models()
    ]
    for error in catalog.broken().values():
        complain(f"Warning: {error}")
    if json:
        print_json(rows)
        return
    print_table(
        ["name", "family", "size", "steps", "guidance", "parameters", "licence"],
        [
            (
                row["name"],
                row["family"],
                f"{row['width']} x {row['height']}",
                row["steps"],
                "none (distilled)" if row["distilled"] else row["guidance_scale"],
                f"{row['parameters'] / 1e6:.1f} M",
                row["licence"],
            )
            for row in rows
        ],
    )


@guard
def fields(json: JsonOption = False) -> None:
    """List a recipe's fields, ranges and defaults."""
    rows = [_field(name) for name in Recipe.model_fields]
    if json:
        print_json(rows)
        return
    print_table(
        ["field", "type", "range", "default", "meaning"],
        [(row["name"], row["type"], row["range"], row["default"], row["description"]) for row in rows],
    )


@guard
def pictures(
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="At most N.")] = 20,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """List the newest pictures in the store."""
    recent = open_session(home).store.recent(limit)
    if json:
        print_json(
            [
                {
                    "digest": each.digest,
                    "created": each.created.isoformat(),
                    "path": str(each.path),
                    "recipe": each.recipe.model_dump(mode="json"),
                    "seconds": each.seconds,
                }
                for each in recent
            ]
        )
        return
    print_table(
        ["created", "digest", "model", "seed", "prompt"],
        [
            (
                each.created.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
                each.digest[:12],
                each.recipe.model,
                each.recipe.seed,
                " ".join(each.recipe.prompt.split()),
            )
            for each in recent
        ],
    )


def _licence(model: Model) -> str:
    """The licence of the published checkpoint that this model is, by its name, or else by its size and kind."""
    published = model.family.checkpoints
    found = published.get(model.name.rpartition("/")[2])
    for checkpoint in published.values():
        alike = abs(model.parameters / 1e9 - checkpoint.parameters) < 0.01 * checkpoint.parameters
        if found is None and alike and checkpoint.distilled == model.is_distilled:
            found = checkpoint
    return found.licence if found else "not known"


def _field(name: str) -> dict[str, Any]:
    field, schema = Recipe.model_fields[name], Recipe.model_json_schema()["properties"][name]
    parts = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
    kind = parts[0]
    least, most = kind.get("minimum"), kind.get("maximum", kind.get("exclusiveMaximum"))
    choices = kind.get("enum") or ([kind["const"]] if "const" in kind else None)
    if choices:
        extent = ", ".join(map(str, choices))
    elif least is None and most is None:
        extent = ""
    elif most is None:
        extent = f"{least} and more"
    else:
        extent = f"{least} to {most}" if "maximum" in kind else f"{least} to below {most}"
    default = field.get_default()
    return {
        "name": name,
        "type": kind.get("type", "string"),
        "range": extent,
        "minimum": least,
        "maximum": most,
        "choices": choices,
        "default": list(default) if isinstance(default, tuple) else default,
        "description": field.description,
    }
