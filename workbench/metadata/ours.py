"""Our own chunk: the recipe as it was, whole; a recipe of another version field by field."""

from __future__ import annotations

from workbench.errors import RecipeError
from workbench.metadata.draft import Draft
from workbench.metadata.jsons import Unreadable, parse_object
from workbench.metadata.result import Recalled
from workbench.recipe import Recipe

CHUNK = "workbench"  # as the store writes it


def read_ours(text: str, draft: Draft) -> Recalled:
    """The recipe in our chunk.

    Raises:
        Unreadable: the chunk holds no recipe.
    """
    metadata = parse_object(text)
    fields = metadata.get("recipe")
    if metadata.get("operation") == "upscale":
        origin = metadata.get("made_from")
        fields = origin.get("recipe") if isinstance(origin, dict) else None
        if not isinstance(fields, dict):
            raise Unreadable("it was enlarged from a picture that does not say how it was made")
        draft.note("The picture was enlarged; the recipe is that of the picture that it was made from.")
        metadata["digest"] = origin.get("digest") if isinstance(origin, dict) else None
    if not isinstance(fields, dict):
        raise Unreadable("it holds no recipe")
    digest = metadata.get("digest")
    digest = digest if isinstance(digest, str) else ""
    details = {name: value for name, value in metadata.items() if name not in ("recipe", "digest")}
    try:
        recipe = Recipe.parse(fields)
    except RecipeError:
        for name, value in fields.items():
            draft.set(name, value)
        draft.note("The recipe was written by another version of the workbench, or changed by hand.")
        return draft.finish(digest=digest, details=details)
    return Recalled(recipe, "workbench", notes=tuple(draft.notes), digest=digest, details=details)
