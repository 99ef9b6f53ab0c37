"""Pictures of an adapter in training: drawn by the engine, on the base and on its distilled partner.

The engine loads weights of its own and every picture has its own generator, so a preview changes neither the module in
training nor any random number. Seeds and prompts stay the same through the run; step 0 shows the model without it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune.adapters import NAME
from finetune.config import TrainConfig, TrainConfigError
from finetune.data import DataConfig, Dataset, Example
from finetune.runfolder import RunFolder
from workbench.models.catalog import Model, ModelCatalog
from workbench.recipe import Recipe
from workbench.store.files import make_folder, write_atomically
from workbench.store.png import write_picture

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.engine import Engine

LIMIT = 8  # prompts made of held-out captions when none are given


class Previewer:
    """Draws the previews of one run.

    Args:
        config: what to draw.
        folder: where to.
        catalog: finds the models.
        model: the base, as the engine knows it.
        dataset: its held-out captions are the prompts when the configuration gives none.

    Raises:
        TrainConfigError: there is nothing to draw.
        ModelError: the distilled model that is named does not exist.
    """

    def __init__(
        self, config: TrainConfig, folder: RunFolder, catalog: ModelCatalog, model: Model, dataset: Dataset
    ) -> None:
        self._config, self._folder, self._catalog, self._model = config, folder, catalog, model
        # With references a caption means nothing without them, so prompts and references come from the same example.
        shown = {each.caption: each for each in reversed((*dataset.held_out, *dataset.examples))}
        captions = dict.fromkeys(each.caption for each in (*dataset.held_out, *dataset.examples))
        self.prompts = config.previews.prompts or default_prompts(
            tuple(captions), config.data, plain=not any(each.references for each in shown.values())
        )
        self._examples = [shown.get(prompt) for prompt in self.prompts]
        if not self.prompts:
            raise TrainConfigError("There is no prompt to draw previews of.", "Give previews.prompts.")
        self.models = [model]
        named = config.previews.distilled
        partner = catalog.model(named) if named else distilled_partner(catalog, model)
        if partner is not None:
            self.models.append(partner)
        self._engine: Engine | None = None

    def draw(self, step: int, state: dict[str, Tensor], metadata: dict[str, str]) -> list[Path]:
        """Draw all prompts with the adapter `state`; step 0 is drawn without it. Returns the pictures' paths.

        Raises:
            WorkbenchError: a picture could not be drawn or saved.
        """
        from safetensors.torch import save

        from workbench.engine import Engine

        if self._engine is None:
            self._engine = Engine(self._catalog, device=self._config.device)
        folder = self._folder.previews / f"step-{step:06d}"
        make_folder(folder)
        adapter = folder / "adapter.safetensors"
        if step:
            write_atomically(adapter, save(state, metadata))
        paths = []
        try:
            for model in self.models:
                recipes = [
                    self._recipe(model, place, str(adapter) if step else "") for place in range(len(self.prompts))
                ]
                for result in sorted(self._engine.run(recipes), key=lambda result: result.index):
                    if result.error is not None:
                        raise result.error
                    assert result.picture is not None
                    path = folder / f"{result.index:02d}-{_slug(model.name)}.png"
                    told = result.recipe.model_dump(mode="json") | {"adapters": []}
                    facts = {"recipe": told, "run": self._folder.name, "step": step, "adapter": NAME if step else None}
                    write_picture(path, result.picture, facts)
                    paths.append(path)
        finally:
            adapter.unlink(missing_ok=True)
            self._engine.unload()
        return paths

    def _recipe(self, model: Model, place: int, adapter: str) -> Recipe:
        wanted = self._config.previews
        values: dict[str, Any] = {"width": wanted.width, "height": wanted.height}
        example = self._examples[place]
        if example is not None and example.references:
            values["references"] = tuple(
                {"picture": str(path), "size": "exact"} for path in self._inputs(place, example)
            )
            values |= {"width": example.buckets[0].width, "height": example.buckets[0].height}
        if not model.is_distilled:
            values["steps"] = wanted.steps
        values["adapters"] = [{"name": adapter}] if adapter else []
        return Recipe.parse({"model": model.name, "prompt": self.prompts[place], "seed": wanted.seed + place} | values)

    def _inputs(self, place: int, example: Example) -> list[Path]:
        """Files of an example's references, cut as in training."""
        paths = []
        make_folder(self._folder.previews)
        for number, picture in enumerate(example.references_for(example.buckets[0])):
            path = self._folder.previews / f"input-{place:02d}-{number}.png"
            if not path.exists():
                write_picture(path, picture, {})
            paths.append(path)
        return paths


def default_prompts(captions: Sequence[str], data: DataConfig, *, plain: bool) -> tuple[str, ...]:
    """The first captions; with a trigger word each also without it, as that picture should stay what it was.

    Args:
        captions: held-out ones first.
        data: knows the trigger word.
        plain: whether a caption alone says what to draw, as it does without references.
    """
    if not data.trigger or not plain:
        return tuple(captions)[:LIMIT]
    both = [text for each in captions[: LIMIT // 2] for text in (each, without_trigger(each, data))]
    return tuple(dict.fromkeys(text for text in both if text))


def without_trigger(caption: str, data: DataConfig) -> str:
    """`caption` as it was before it got the trigger word; written inside it, the word is left out."""
    before, _, after = data.trigger_template.format(trigger=data.trigger, caption="\0").partition("\0")
    if before + after and caption.startswith(before) and caption.endswith(after):
        return caption[len(before) : len(caption) - len(after)]
    word = rf"(?<!\w){re.escape(data.trigger)}(?!\w)[ ,]*"
    return re.sub(word, "", caption).strip(" ,")


def distilled_partner(catalog: ModelCatalog, model: Model) -> Model | None:
    """The distilled model of the same family and size, when the catalog has one."""
    for other in catalog.models():
        same = other.family.name == model.family.name and other.parameters == model.parameters
        if same and other.is_distilled and other.name != model.name:
            return other
    return None


def preview_steps(folder: RunFolder) -> Sequence[int]:
    """Steps that have previews, rising."""
    names = [path.name for path in folder.previews.iterdir()] if folder.previews.is_dir() else []
    return sorted(int(match[1]) for match in (re.fullmatch(r"step-(\d{6,})", name) for name in names) if match)


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)
