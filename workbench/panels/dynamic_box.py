"""One form, many pictures: the prompt stands for several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ipywidgets as widgets

from workbench.prompts import Wildcards, expand
from workbench.prompts.wildcards import FOLDER
from workbench.recipe import Recipe

LIMIT = 200  # pictures of one press


class DynamicBox(widgets.HBox):
    """A tick that makes `{a|b}` and `__wildcard__` in the prompt act, and how many to draw.

    Args:
        home: the workbench's folder, where the wildcards are.
        changed: called after every change.
    """

    def __init__(self, home: Path, changed: Callable[[], None]) -> None:
        self._wildcards = home / FOLDER
        self.tick = widgets.Checkbox(description="Dynamic prompt", indent=False)
        self.tick.tooltip = "{a|b} and __wildcard__ in the prompt stand for several prompts: a picture of each."
        self.number = widgets.BoundedIntText(0, min=0, max=LIMIT, description="draw")
        self.number.tooltip = "How many to draw at random with the seed of the form; 0: all combinations."
        self.number.layout = widgets.Layout(width="140px", display="none")
        super().__init__([self.tick, self.number])
        self.add_class("wb-dynamic")
        self.tick.observe(lambda _: self._ticked(changed), "value")
        self.number.observe(lambda _: changed(), "value")

    def recipes(self, recipe: Recipe) -> list[Recipe]:
        """The recipe, or one of every prompt that its prompt stands for.

        Raises:
            DynamicPromptError: the prompt cannot be read, or stands for too many.
        """
        if not self.tick.value:
            return [recipe]
        number = self.number.value or None
        found = expand(
            recipe.prompt,
            mode="random" if number else "all",
            number=number,
            seed=recipe.seed,
            wildcards=Wildcards(self._wildcards),
            limit=LIMIT,
        )
        return [recipe.replace(prompt=prompt) for prompt in found]

    def python_code(self, recipe: Recipe) -> str:
        """Python source that makes the same pictures without a panel."""
        source = recipe.to_python()
        names = [name for name in ("Adapter", "Recipe", "Reference") if f"{name}(" in source]
        number = f', mode="random", number={self.number.value}, seed=recipe.seed' if self.number.value else ""
        lines = [
            f"from workbench import {', '.join([*names, 'Session'])}",
            "from workbench.prompts import Wildcards, expand",
            "",
            f"recipe = {source}",
            "session = Session()",
            f'wildcards = Wildcards(session.settings.home / "{FOLDER}")',
            f"prompts = expand(recipe.prompt, wildcards=wildcards, limit={LIMIT}{number})",
            "results = list(session.run([recipe.replace(prompt=prompt) for prompt in prompts]))",
        ]
        return "\n".join(lines)

    def _ticked(self, changed: Callable[[], None]) -> None:
        self.number.layout.display = "" if self.tick.value else "none"
        changed()
