"""What comes out of a picture's metadata: a recipe, where it came from, and what could not be carried over."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

from workbench.errors import WorkbenchError
from workbench.recipe import Recipe

Source = Literal["workbench", "InvokeAI", "AUTOMATIC1111", "ComfyUI"]


class RecallError(WorkbenchError):
    """A picture does not say how it was made, or cannot be read."""

    code = "WB620"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One thing that the metadata says and the recipe does not."""

    name: str  # as the tool calls it
    value: str  # shortened for people
    reason: str  # one sentence

    def __str__(self) -> str:
        return f"{self.name} = {self.value}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Recalled:
    """A recipe, as far as the picture's metadata allows."""

    recipe: Recipe
    source: Source
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()  # what was carried over with a difference, or could not be read
    digest: str = ""  # of the recipe, where the workbench made the picture
    details: dict[str, Any] = field(default_factory=dict)  # our own environment, weights, seconds

    @property
    def complete(self) -> bool:
        """Whether nothing was left out."""
        return not self.left_out

    def as_json(self) -> dict[str, Any]:
        """JSON values for machines."""
        return {
            "source": self.source,
            "complete": self.complete,
            "digest": self.digest,
            "recipe": self.recipe.model_dump(mode="json", exclude_defaults=True) | {"model": self.recipe.model},
            "left_out": [{"name": part.name, "value": part.value, "reason": part.reason} for part in self.left_out],
            "notes": list(self.notes),
        }

    def to_yaml(self) -> str:
        """The recipe as YAML that `Recipe.from_yaml` reads, with what was left out as comments."""
        lines = [f"# read from the metadata of {self.source}"]
        lines += [f"# {note}" for note in self.notes]
        lines += [f"# left out: {part}" for part in self.left_out]
        comments = [" ".join(line.replace("\x85", " ").split()) for line in lines]
        return "\n".join([*(_printable(line) for line in comments), self.recipe.to_yaml()])

    def _repr_html_(self) -> str:
        """The recipe and the list below it, in a notebook."""
        missing = "".join(
            f"<tr><td>{escape(part.name)}</td><td>{escape(part.value)}</td><td>{escape(part.reason)}</td></tr>"
            for part in self.left_out
        )
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        table = f"<table><tr><th>left out</th><th>value</th><th>why</th></tr>{missing}</table>" if missing else ""
        return (
            f"<div>Recipe from the metadata of {escape(self.source)}:<pre>{escape(self.recipe.to_yaml())}</pre>"
            f"{f'<ul>{notes}</ul>' if notes else ''}{table}</div>"
        )


def shorten(value: object, limit: int = 120) -> str:
    """A value on one line for people, at most `limit` characters."""
    text = " ".join(_printable(str(value)).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _printable(text: str) -> str:
    """Without what no terminal and no YAML comment can show."""
    return "".join(character if character.isprintable() else " " for character in text)
