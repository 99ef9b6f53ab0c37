"""From a picture file to a recipe: which tool's metadata it holds, and the reader for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.metadata.a1111 import read_parameters
from workbench.metadata.comfyui import read_prompt, read_workflow
from workbench.metadata.container import Texts, read_texts
from workbench.metadata.draft import Draft
from workbench.metadata.invokeai import read_graph, read_legacy, read_metadata
from workbench.metadata.names import Names
from workbench.metadata.ours import CHUNK, read_ours
from workbench.metadata.result import Recalled, RecallError, Source, shorten

if TYPE_CHECKING:
    from workbench.models.catalog import ModelCatalog

Reader = Callable[[str, Draft], Recalled]
# In the order in which they are tried: what says most comes first.
_READERS: tuple[tuple[str, Source, Reader], ...] = (
    (CHUNK, "workbench", read_ours),
    ("invokeai_metadata", "InvokeAI", read_metadata),
    ("parameters", "AUTOMATIC1111", read_parameters),
    ("prompt", "ComfyUI", read_prompt),
    ("workflow", "ComfyUI", read_workflow),
    ("invokeai_graph", "InvokeAI", read_graph),
    ("sd-metadata", "InvokeAI", read_legacy),
    ("UserComment", "AUTOMATIC1111", read_parameters),
    ("comment", "AUTOMATIC1111", read_parameters),
)


def recall(
    picture: str | Path | bytes,
    *,
    catalog: ModelCatalog | None = None,
    models: Iterable[str] = (),
    adapters: Iterable[str] = (),
) -> Recalled:
    """The recipe that a picture's metadata tells, as far as it does.

    Pixels are not read and models are not needed. Reads PNG, JPEG and WebP by the workbench, InvokeAI, AUTOMATIC1111 and
    its forks, SwarmUI and ComfyUI.

    Args:
        picture: path of the file, or its bytes.
        catalog: models and adapters that are here: names that match one of them are spelled like it.
        models: further names of models, instead of a catalog.
        adapters: further names of adapters.

    Returns:
        The recipe, with a list of everything that the file says and the recipe does not.

    Raises:
        RecallError: the file cannot be read, or says nothing of how it was made.
    """
    source = picture if isinstance(picture, bytes) else Path(picture)
    texts = read_texts(source)
    if catalog is not None:
        models = [*models, *(model.name for model in catalog.models())]
        adapters = [*adapters, *catalog.adapters()]
    return read(texts, Names(models, adapters), "the picture" if isinstance(source, bytes) else repr(str(source)))


def read(texts: Texts, names: Names, name: str) -> Recalled:
    """The recipe in a file's texts.

    Raises:
        RecallError: none of the texts tells one.
    """
    found = _comfy_exif(texts.texts)
    problems = list(texts.problems)
    for key, source, reader in _READERS:
        if key not in found:
            continue
        try:
            recalled = reader(found[key], Draft(source, names))
        except ValueError as error:
            problems.append(f"The text {key!r} cannot be read: {shorten(error)}.")
            continue
        return _with_size(recalled, texts, problems)
    why = " ".join(problems) or "It holds no metadata of a tool that we read."
    raise RecallError(f"{name} does not say how it was made. {why}", "Give the file as the tool wrote it.")


def _with_size(recalled: Recalled, texts: Texts, problems: list[str]) -> Recalled:
    """The recipe, with the file's own size where the metadata of another tool tells none."""
    recipe, notes = recalled.recipe, [*problems, *recalled.notes]
    foreign = recalled.source != "workbench" and recipe.width is None and recipe.height is None
    if foreign and min(texts.width, texts.height) >= 16:
        recipe = recipe.replace(width=texts.width, height=texts.height)
        notes.append("The size is that of the file, as the metadata tells none.")
    return Recalled(recipe, recalled.source, recalled.left_out, tuple(notes), recalled.digest, recalled.details)


def _comfy_exif(texts: dict[str, str]) -> dict[str, str]:
    """ComfyUI writes `prompt:{...}` and `workflow:{...}` into Exif entries of WebP files: under their own names."""
    found = dict(texts)
    for entry in ("Make", "Model", "ImageDescription", "UserComment"):
        for key in ("prompt", "workflow"):
            text = texts.get(entry, "")
            if text[: len(key) + 1].lower() == f"{key}:":
                found.setdefault(key, text[len(key) + 1 :])
    return found
