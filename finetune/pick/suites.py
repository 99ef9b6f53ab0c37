"""The prompts of a pick: a suite, a YAML list, an example's, or the captions that a run held out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from evals.suite import Suite, load_suite, parse_suite
from finetune.pick.concept import concept_suite
from finetune.pick.config import PickError
from finetune.runfolder import RunFolder

MOST_BYTES = 1_000_000  # of a file of prompts
EXAMPLE = "example:"
_CONTROLS = {"flux2-klein-nano": "nano-1"}
_CONTROL = "adherence-1"


def target_suite(text: str, run: RunFolder, limit: int | None) -> Suite:
    """The prompts that ask for what was learned.

    Args:
        text: as `PickConfig.suite`.
        run: whose held-out captions are used when `text` is empty.
        limit: most prompts.

    Raises:
        PickError: a file that holds no prompts, or a run without held-out captions.
        SuiteError: an unknown suite.
    """
    if text.startswith(EXAMPLE):
        return concept_suite(text.removeprefix(EXAMPLE), count=limit or 24, folder=run.path / "pick")
    return _named(text).limited(limit) if text else held_out_suite(run).limited(limit)


def control_suite(text: str, family: str, limit: int | None) -> Suite:
    """The prompts that do not.

    Raises:
        PickError: a file that holds no prompts.
        SuiteError: an unknown suite.
    """
    return _named(text or _CONTROLS.get(family, _CONTROL)).limited(limit)


def held_out_suite(run: RunFolder) -> Suite:
    """The captions of the pictures that the run kept from training.

    Raises:
        PickError: there are none.
    """
    try:
        manifest = json.loads(run.data.read_text(encoding="utf-8"))
        captions = [caption for name in manifest["held_out"] for caption in manifest["examples"][name]["captions"][:1]]
    except (OSError, ValueError, KeyError, TypeError):
        captions = []
    prompts = [{"prompt": each} for each in dict.fromkeys(captions) if each.strip()]
    if not prompts:
        raise PickError(
            f"The run {run.name!r} held no captions out to test on.",
            "Give --suite: a suite, a YAML list of prompts, or example:KIND.",
        )
    return from_list(prompts, f"{run.name}-held-out")


def from_list(rows: list[Any], name: str) -> Suite:
    """A suite of plain prompts, or of mappings with the fields of a suite's rows.

    Raises:
        PickError: the list is empty.
        SuiteError: a row is none.
    """
    if not rows:
        raise PickError(f"The list {name!r} holds no prompts.", "Write '- a prompt' on a line of its own.")
    prompts = []
    for number, row in enumerate(rows, 1):
        values = dict(row) if isinstance(row, dict) else {"prompt": str(row)}
        prompts.append({"id": f"{number:03d}", "kind": "prompt"} | values)
    return parse_suite({"name": name, "version": 1, "about": "A list of prompts.", "prompts": prompts}, name)


def _named(text: str) -> Suite:
    path = Path(text).expanduser()
    if path.suffix not in (".yaml", ".yml"):
        return load_suite(text)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PickError(f"The file {text!r} is too large for a list of prompts.", "Write a suite as JSON.")
        rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PickError(f"The file {text!r} cannot be read: {' '.join(str(error).split())}.", "Check it.") from None
    if not isinstance(rows, list):
        raise PickError(f"The file {text!r} holds no list.", "Write '- a prompt' on a line of its own.")
    return from_list(rows, path.stem).model_copy(update={"folder": str(path.absolute().parent)})
