"""Checkpoints that are whole or absent, and a resume that is refused when it would train something else.

A checkpoint is a folder: `adapter.safetensors` (the weights, which any host can read) and `state.safetensors` (the
optimiser, the running average, the step, and what configuration and data they belong to). It is written under another
name, brought to the disk file by file, and renamed. Nothing random is in it: every draw follows from (seed, step).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from finetune.data.manifest import describe_difference
from finetune.runfolder import RunFolder
from workbench.errors import WorkbenchError
from workbench.store.files import cannot_write

VERSION = 1


class CheckpointError(WorkbenchError):
    """A checkpoint cannot be read, or belongs to another configuration or other data."""

    code = "WB512"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that a run needs to go on as if it had not stopped."""

    step: int
    adapter: dict[str, Tensor]
    metadata: dict[str, str]  # of the adapter's file
    optimiser: dict[str, Any]  # its state_dict
    average: dict[str, Tensor]  # running average of the parameters, by place; empty: none
    facts: dict[str, Any]  # configuration and data; a resume compares them
    best: tuple[int, float] | None = None  # step and held-out loss of the best measurement


def save_checkpoint(folder: RunFolder, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint; an older one is never touched. Returns its folder.

    Raises:
        StoreError: it cannot be written; nothing is left behind.
    """
    target = folder.checkpoint(checkpoint.step)
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        tensors, plain = flatten(checkpoint.optimiser)
        tensors |= {f"average.{key}": value for key, value in checkpoint.average.items()}
        facts = {
            "version": VERSION,
            "step": checkpoint.step,
            "optimiser": plain,
            "facts": checkpoint.facts,
            "best": checkpoint.best,
        }
        _write(temporary / "adapter.safetensors", checkpoint.adapter, checkpoint.metadata)
        _write(temporary / "state.safetensors", tensors, {"state": json.dumps(facts)})
        _sync(temporary)
        if target.exists():  # of the same step, from before a resume: equal by construction
            shutil.rmtree(target)
        temporary.rename(target)
        _sync(target.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise cannot_write(target, error) from error
    return target


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises:
        CheckpointError: it is damaged or of another version.
    """
    from safetensors import SafetensorError, safe_open

    def read(name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        with safe_open(path / name, framework="pt") as stream:
            tensors = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118 (no mapping)
            return tensors, dict(stream.metadata() or {})

    try:
        adapter, metadata = read("adapter.safetensors")
        tensors, state = read("state.safetensors")
        facts = json.loads(state["state"])
        if facts["version"] != VERSION:
            raise ValueError(f"version {facts['version']}")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be read: {error}.", "Delete its folder; the one before it is used then."
        ) from None
    average = {key.removeprefix("average."): value for key, value in tensors.items() if key.startswith("average.")}
    own = {key: value for key, value in tensors.items() if not key.startswith("average.")}
    best = facts["best"]
    return Checkpoint(
        step=facts["step"],
        adapter=adapter,
        metadata=metadata,
        optimiser=unflatten(own, facts["optimiser"]),
        average=average,
        facts=facts["facts"],
        best=None if best is None else (int(best[0]), float(best[1])),
    )


def check_same(saved: Mapping[str, Any], wanted: Mapping[str, Any], where: str, allow: Collection[str] = ()) -> None:
    """Refuse to go on with another configuration or other data.

    Args:
        saved: facts of the checkpoint: {"config": {field: value}, "data": the data set's manifest}.
        wanted: the same of the run that is to go on.
        where: what is resumed.
        allow: fields that may differ, such as `optimiser.learning_rate`; `data` for the pictures and captions.

    Raises:
        CheckpointError: with every other difference.
    """
    before, after = saved["config"], wanted["config"]
    lines = [
        f"{name}: {_short(before.get(name, 'absent'))} -> {_short(after.get(name, 'absent'))}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name, "absent") != after.get(name, "absent") and name not in allow
    ]
    if "data" not in allow:
        lines += describe_difference(saved["data"], wanted["data"])
    if lines:
        shown = "; ".join(lines[:20]) + (f"; and {len(lines) - 20} more" if len(lines) > 20 else "")
        raise CheckpointError(
            f"{where} cannot go on, as it differs from its checkpoint: {shown}.",
            "Put them back, allow them by name (finetune resume RUN --allow FIELD), or start a new run.",
        )


def prune(folder: RunFolder, keep: int | None, protect: int | None = None) -> None:
    """Delete all but the last `keep` checkpoints, and keep that of step `protect`."""
    if keep is None:
        return
    for step in folder.steps_saved()[:-keep]:
        if step != protect:
            doomed = folder.checkpoint(step)
            hidden = doomed.with_name(f".{doomed.name}.old")  # so that half a deletion is no checkpoint
            doomed.rename(hidden)
            shutil.rmtree(hidden)


def flatten(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state_dict as tensors by name, and the rest as JSON values."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {"groups": [], "state": {}}
    for index, values in state["state"].items():
        plain["state"][str(index)] = {}
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"state.{index}.{name}"] = value.detach().cpu().contiguous().clone()
            else:
                plain["state"][str(index)][name] = value
    for number, group in enumerate(state["param_groups"]):
        own = {}
        for name, value in group.items():
            if isinstance(value, Tensor):
                tensors[f"group.{number}.{name}"] = value.detach().cpu().clone()
            else:
                own[name] = list(value) if isinstance(value, tuple) else value
        plain["groups"].append(own)
    return tensors, plain


def unflatten(tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten`."""
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in plain["state"].items()}
    groups: list[dict[str, Any]] = [
        {name: tuple(value) if name == "betas" else value for name, value in group.items()} for group in plain["groups"]
    ]
    for key, value in tensors.items():
        kind, number, name = key.split(".", 2)
        if kind == "state":
            state[int(number)][name] = value
        else:
            groups[int(number)][name] = value
    return {"state": state, "param_groups": groups}


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    from safetensors.torch import save

    with path.open("xb") as file:
        file.write(save(tensors, metadata))
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    if os.name == "nt":  # has no such call and needs none
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
