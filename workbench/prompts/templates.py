"""Prompt templates: words around what a person types, kept in one YAML file, exchanged with other tools.

AUTOMATIC1111 keeps them as `styles.csv` (name, prompt, negative_prompt; older: name, text), InvokeAI as CSV or JSON with
the same columns (or positive_prompt).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import nearest
from workbench.prompts.errors import TemplateError
from workbench.prompts.wildcards import MAX_BYTES
from workbench.recipe import Recipe, dump_yaml

FILE = "templates.yaml"  # in the workbench's home
PLACE = "{prompt}"
MAX_TEMPLATES = 10_000


class PromptTemplate(BaseModel):
    """Words around a prompt. Without `{prompt}` the template follows the prompt after a comma, as in AUTOMATIC1111."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=200, description="What it is called.")
    prompt: str = Field(default="", max_length=20_000, description="Words with {prompt} where the prompt goes.")
    negative_prompt: str = Field(default="", max_length=20_000, description="The same for the negative prompt.")

    def apply(self, prompt: str, negative_prompt: str = "") -> tuple[str, str]:
        """Prompt and negative prompt inside the template."""
        return _fill(self.prompt, prompt), _fill(self.negative_prompt, negative_prompt)

    def recipe(self, recipe: Recipe) -> Recipe:
        """A recipe with its prompts inside the template."""
        prompt, negative = self.apply(recipe.prompt, recipe.negative_prompt)
        return recipe.replace(prompt=prompt, negative_prompt=negative)


class Templates(Mapping[str, PromptTemplate]):
    """Templates by name, in the order of their file.

    Args:
        templates: the last of a name counts.
    """

    def __init__(self, templates: list[PromptTemplate] | None = None) -> None:
        self._by_name = {template.name: template for template in templates or []}

    def __getitem__(self, name: str) -> PromptTemplate:
        if name not in self._by_name:
            remedy = nearest(name, self._by_name) if self._by_name else "Import a file of templates first."
            raise TemplateError(f"There is no template {name!r}.", remedy)
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def merged(self, other: Templates) -> Templates:
        """Both; `other` counts where a name is in both."""
        return Templates([*self.values(), *other.values()])

    @classmethod
    def read(cls, path: str | Path) -> Templates:
        """Templates from `.yaml` (ours), `.csv` (AUTOMATIC1111, InvokeAI) or `.json` (InvokeAI).

        Raises:
            TemplateError: the file is missing, of another kind, or an entry is no template.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            text = data.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise TemplateError(f"Cannot read {str(path)!r}: {error}.", "Check the path; save it as UTF-8.") from None
        if len(data) > MAX_BYTES:
            raise TemplateError(f"{str(path)!r} is larger than {MAX_BYTES} bytes.", "Split it.")
        if path.suffix.lower() not in _READERS:
            raise TemplateError(f"{str(path)!r} is no file of templates.", f"Give one of {', '.join(_READERS)}.")
        try:
            rows = _READERS[path.suffix.lower()](text)
        except (ValueError, yaml.YAMLError, RecursionError, csv.Error) as error:
            reason = " ".join(str(error).split())[:200].rstrip(".")
            raise TemplateError(f"Cannot read {str(path)!r}: {reason}.", "Correct the file.") from None
        if not isinstance(rows, list) or len(rows) > MAX_TEMPLATES:
            raise TemplateError(f"{str(path)!r} is no list of at most {MAX_TEMPLATES} templates.", "Correct the file.")
        return cls([_template(row, index, path) for index, row in enumerate(rows)])

    def write(self, path: str | Path) -> None:
        """Write `.yaml`, `.csv` (AUTOMATIC1111's columns) or `.json` (InvokeAI's), whole or not at all.

        Raises:
            TemplateError: the name ends in something else.
            StoreError: the file cannot be written.
        """
        from workbench.store.files import write_atomically

        path = Path(path)
        rows = [template.model_dump() for template in self.values()]
        match path.suffix.lower():
            case ".yaml" | ".yml":
                text = dump_yaml(rows)
            case ".json":
                text = json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
            case ".csv":
                buffer = io.StringIO()
                table = csv.DictWriter(buffer, list(PromptTemplate.model_fields), lineterminator="\n")
                table.writeheader()
                table.writerows(rows)
                text = buffer.getvalue()
            case _:
                raise TemplateError(f"Cannot write {str(path)!r}.", "End the name in .yaml, .csv or .json.")
        write_atomically(path, text.encode())


def _fill(template: str, words: str) -> str:
    if PLACE in template:
        return template.replace(PLACE, words)
    return ", ".join(part for part in (words, template) if part)


def _template(row: Any, index: int, path: Path) -> PromptTemplate:
    try:
        if not isinstance(row, dict):
            raise TemplateError(
                f"Entry {index + 1} of {str(path)!r} is no template.", "Write name, prompt, negative_prompt."
            )
        values = {str(name): value for name, value in row.items() if value is not None}
        for other in ("positive_prompt", "text"):  # InvokeAI's and old AUTOMATIC1111's name of the column
            if other in values and "prompt" not in values:
                values["prompt"] = values.pop(other)
        return PromptTemplate(**values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise TemplateError(
            f"Entry {index + 1} of {str(path)!r} has a wrong {field}: {first['msg']}.",
            "A template has name, prompt and negative_prompt.",
        ) from None


def _csv_rows(text: str) -> list[dict[str, Any]]:
    rows = csv.DictReader(io.StringIO(text), strict=True)
    if "name" not in (rows.fieldnames or ()):
        raise ValueError("it has no column 'name'")
    found = [row for row in rows if any(row.values())]
    if any(None in row for row in found):
        raise ValueError("a row has more cells than the header")
    return found


_READERS = {".yaml": yaml.safe_load, ".yml": yaml.safe_load, ".csv": _csv_rows, ".json": json.loads}
