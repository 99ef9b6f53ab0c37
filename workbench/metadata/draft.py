"""A recipe that grows field by field out of foreign metadata; what does not fit is written down, not dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.errors import RecipeError
from workbench.metadata.names import Names
from workbench.metadata.result import LeftOut, Recalled, Source, shorten
from workbench.recipe import Recipe

MAX_LEFT_OUT = 200  # a list for people; a file with more is counted


class Draft:
    """Collects fields of a recipe and what had to be left out.

    Args:
        source: the tool that wrote the metadata.
        names: finds models and adapters by the names that other tools use.
    """

    def __init__(self, source: Source, names: Names) -> None:
        self.source, self.names = source, names
        self.fields: dict[str, Any] = {}
        self.notes: list[str] = []
        self._left_out: list[LeftOut] = []
        self._adapters: list[dict[str, Any]] = []

    def set(self, field: str, value: Any, *, name: str | None = None) -> bool:
        """Give a recipe field its value, or write down why it cannot have it.

        Args:
            field: of `Recipe`.
            value: as the metadata has it.
            name: what the tool calls it, where that differs.

        Returns:
            Whether the value was taken.
        """
        shown = name or field
        if field not in Recipe.model_fields:
            self.leave_out(shown, value, "a recipe has no such field")
            return False
        if isinstance(value, bool):
            self.leave_out(shown, value, f"{field} is no yes or no")
            return False
        try:
            Recipe.parse({field: value})
        except RecipeError as error:
            self.leave_out(shown, value, error.message)
            return False
        self.fields[field] = value
        return True

    def leave_out(self, name: str, value: object, reason: str) -> None:
        """Write down what cannot be carried over, and why."""
        reason = reason[:1].lower() + reason[1:].rstrip(".")
        self._left_out.append(LeftOut(shorten(name, 60), shorten(value), shorten(reason, 300)))

    def note(self, text: str) -> None:
        """Write down a difference that remains."""
        if text not in self.notes:
            self.notes.append(shorten(text, 300))

    def model(self, value: object, *, name: str = "model") -> None:
        """The model by another tool's name for it: carried over only where it is certain which one is meant."""
        if not isinstance(value, str) or not value.strip():
            self.leave_out(name, value, "it is no name")
            return
        found = self.names.model(value)
        if found is None:
            self.leave_out(name, value, f"it is no known name of a supported model; the recipe keeps {_default()!r}")
            return
        self.set("model", found.name, name=name)
        if found.note:
            self.note(f"The model was {shorten(value)!r}: {found.note}.")

    def adapter(self, value: object, weight: object, *, name: str = "LoRA") -> None:
        """One LoRA. Its name is kept; whether a file of that name is here shows when the recipe is run."""
        if not isinstance(value, str) or not value.strip():
            self.leave_out(name, value, "it is no name")
            return
        adapter = {"name": self.names.adapter(value), "weight": weight}
        try:
            Recipe.parse({"adapters": [adapter]})
        except RecipeError as error:
            self.leave_out(f"{name} {value}", weight, error.message)
            return
        self._adapters.append(adapter)

    def finish(self, *, digest: str = "", details: Mapping[str, Any] | None = None) -> Recalled:
        """The recipe from what was set."""
        if self._adapters:
            self.fields["adapters"] = self._adapters
        recipe = self._recipe()
        left_out = self._left_out[:MAX_LEFT_OUT]
        if len(self._left_out) > MAX_LEFT_OUT:
            self.note(f"{len(self._left_out) - MAX_LEFT_OUT} more values were left out than are listed.")
        return Recalled(recipe, self.source, tuple(left_out), tuple(self.notes), digest, dict(details or {}))

    def _recipe(self) -> Recipe:
        try:
            return Recipe.parse(self.fields)
        except RecipeError:  # each value is right, but not with the others
            recipe = Recipe()
            for field, value in self.fields.items():
                try:
                    recipe = recipe.replace(**{field: value})
                except RecipeError as error:
                    self.leave_out(field, value, error.message)
            return recipe


def _default() -> str:
    return str(Recipe.model_fields["model"].default)
