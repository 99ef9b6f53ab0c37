"""Two training runs side by side: which settings and data differ, and which adapter each of them made."""

from __future__ import annotations

import json
from pathlib import Path

from finetune.data.manifest import describe_difference
from finetune.runfolder import RunError, RunFolder, find_run


def adapter_of(name: str, home: Path | None = None) -> tuple[Path, RunFolder | None]:
    """The adapter file that `name` stands for, and the run that made it where `name` is one.

    Args:
        name: an adapter file, or the name or folder of a run.
        home: the workbench's home; None: from the settings.

    Raises:
        RunError: there is no such run, or it has no adapter yet.
    """
    if name.endswith(".safetensors"):
        return Path(name), None
    run = find_run(name, home)
    if run.adapter.is_file():
        return run.adapter, run
    steps = run.steps_saved()
    if not steps:
        raise RunError(f"The run {run.name!r} has no adapter yet.", "Let it come to its first checkpoint.")
    return run.checkpoint(steps[-1]) / "adapter.safetensors", run


def run_differences(one: RunFolder, two: RunFolder) -> list[str]:
    """What of two runs' settings and data decides that their adapters differ, a line each.

    Raises:
        TrainConfigError: a configuration cannot be read.
    """
    before, after = one.config.decisive(), two.config.decisive()
    before["model"], after["model"] = one.config.model, two.config.model
    lines = [
        f"{name}: {before.get(name, 'absent')} -> {after.get(name, 'absent')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name, "absent") != after.get(name, "absent")
    ]
    manifests = [json.loads(run.data.read_text(encoding="utf-8")) for run in (one, two) if run.data.is_file()]
    return lines + (describe_difference(*manifests) if len(manifests) == 2 else [])
