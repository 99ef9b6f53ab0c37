"""One picture of a grid at full size: where it stands, its recipe, and what one may do with it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from html import escape

import ipywidgets as widgets
from PIL import Image

from workbench.panels.banner import Banner
from workbench.panels.forms import DICE
from workbench.panels.pixels import encode
from workbench.recipe import Recipe


class CellDetail(widgets.HBox):
    """Hidden until `show_cell` is called.

    Args:
        again: called with a recipe that is to be made: the shown one with a new seed.
        send: called with the shown recipe when it is to go to the generation panel.
        banner: shows what goes wrong.
    """

    def __init__(self, again: Callable[[Recipe], None], send: Callable[[Recipe], None], banner: Banner) -> None:
        self.recipe: Recipe | None = None
        self._make, self._hand_over = again, send
        self.picture = widgets.Image().add_class("wb-full")
        self.variation = widgets.Image(layout=widgets.Layout(display="none")).add_class("wb-variation")
        self.text = widgets.HTML().add_class("wb-recipe")
        self.again_button = widgets.Button(description="New seed", icon="random").add_class("wb-again")
        self.again_button.tooltip = "Make this recipe with another seed; the picture appears beside this one."
        self.send_button = widgets.Button(description="To the generation panel", icon="share").add_class("wb-send")
        self.send_button.layout.width = "auto"
        self.close_button = widgets.Button(icon="times", tooltip="Close", layout=widgets.Layout(width="36px"))
        self.again_button.on_click(banner.guarded(lambda _: self._press(self._new_seed)))
        self.send_button.on_click(banner.guarded(lambda _: self._press(self._hand_over)))
        self.close_button.on_click(banner.guarded(lambda _: self.hide()))
        buttons = widgets.HBox([self.again_button, self.send_button, self.close_button]).add_class("wb-actions")
        pictures = widgets.VBox([self.picture, self.variation]).add_class("wb-pictures")
        super().__init__([pictures, widgets.VBox([buttons, self.text]).add_class("wb-result")])
        self.add_class("wb-detail")
        self.hide()

    def show_cell(self, place: str, recipe: Recipe, picture: Image.Image | None, problem: str = "") -> None:
        """Show a picture with its `place` in the grid and its recipe, or the `problem` that it met."""
        self.recipe = recipe
        self.variation.layout.display = "none"
        self.picture.layout.display = "none" if picture is None else ""
        if picture is not None:
            self.picture.format, self.picture.value = encode(picture)
        said = f"<p class='wb-problem'>{escape(problem)}</p>" if problem else ""
        self.text.value = f"<b>{escape(place)}</b>{said}{_code(recipe)}"
        self.layout.display = "flex"

    def vary(self, recipe: Recipe, picture: Image.Image) -> None:
        """Show the same recipe with a new seed beside the picture, if it is still that recipe that is open."""
        if self.recipe is None or recipe.replace(seed=self.recipe.seed) != self.recipe:
            return
        self.recipe = recipe
        self.variation.format, self.variation.value = encode(picture)
        self.variation.layout.display = ""
        self.text.value = f"<b>Seed {recipe.seed}</b>{_code(recipe)}"

    def hide(self) -> None:
        """Show nothing."""
        self.recipe = None
        self.layout.display = "none"

    def _press(self, act: Callable[[Recipe], None]) -> None:
        if self.recipe is not None:
            act(self.recipe)

    def _new_seed(self, recipe: Recipe) -> None:
        self._make(recipe.replace(seed=secrets.randbelow(DICE)))


def _code(recipe: Recipe) -> str:
    return f"<div class='wb-yaml'><pre>{escape(recipe.to_yaml())}</pre></div>"
