"""Read a YAML file as what it is: a recipe, a grid or a sweep."""

from __future__ import annotations

from pathlib import Path

import yaml

from workbench.grid import Grid
from workbench.queue.errors import QueueError
from workbench.queue.sweep import Sweep
from workbench.recipe import Recipe

MAX_BYTES = 64 << 20  # of a file: a list of a hundred thousand prompts is far smaller


def read_work(path: Path) -> Recipe | list[Recipe] | Grid | Sweep:
    """What a file asks for. Its first key decides: `grid: 1`, `sweep: 1`, a list of recipes, or one recipe's fields.

    Raises:
        QueueError: the file cannot be read, is too large, or holds none of these.
        WorkbenchError: the recipe, grid or sweep is wrong.
    """
    if path.suffix.lower() == ".png":
        return Grid.from_png(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise QueueError(f"The file {str(path)!r} is larger than {MAX_BYTES >> 20} MiB.", "Submit it in parts.")
        text = path.read_text(encoding="utf-8")
        values = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise QueueError(f"The file {str(path)!r} cannot be read: {error}.", "Check the path.") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise QueueError(f"The file {str(path)!r} is not valid YAML: {' '.join(str(error).split())}.") from None
    if isinstance(values, dict) and "grid" in values:
        return Grid.from_yaml(text)
    if isinstance(values, dict) and "sweep" in values:
        return Sweep.from_yaml(text)
    if isinstance(values, list) and all(isinstance(each, dict) for each in values):
        return [Recipe.parse(each) for each in values]
    if isinstance(values, dict):
        return Recipe.parse(values)
    raise QueueError(f"The file {str(path)!r} holds no work.", "Give a recipe, a list of recipes, a grid or a sweep.")
