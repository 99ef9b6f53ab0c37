"""What to call pictures that are compared: by what differs between their recipes."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.recipe import Recipe

MOST = 3  # fields in a name
LONGEST = 40  # characters of a value


def names(recipes: Sequence[Recipe | None]) -> list[str]:
    """A name for each picture, with its number: the fields that differ, or seed and model where none does.

    Args:
        recipes: of the pictures; None for one that has none.
    """
    known = [recipe for recipe in recipes if recipe is not None]
    fields = [name for name in Recipe.model_fields if len({repr(getattr(each, name)) for each in known}) > 1]
    return [f"{place}: {_name(recipe, fields)}" for place, recipe in enumerate(recipes, 1)]


def _name(recipe: Recipe | None, fields: Sequence[str]) -> str:
    if recipe is None:
        return "picture"
    return ", ".join(_part(recipe, name) for name in (fields or ("seed", "model"))[:MOST])


def _part(recipe: Recipe, name: str) -> str:
    value = getattr(recipe, name)
    if name == "adapters":
        text = " + ".join(f"{each.name} x {each.weight:g}" for each in value) or "no adapter"
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    text = " ".join(str(value).split()) if value is not None else "none"
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return text if name in ("prompt", "model") else f"{name.replace('_', ' ')} {text}"
