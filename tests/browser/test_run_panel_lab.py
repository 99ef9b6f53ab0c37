"""A person sets up a run in JupyterLab, starts it, watches the loss, pauses, saves, draws a preview, and stops it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.checkpoint import load_checkpoint
from finetune.data.examples import write_example
from finetune.runfolder import RunFolder

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SOURCE = """from finetune.panels.train import TrainPanel

panel = TrainPanel()
panel"""
PATIENCE = 300.0  # seconds; reached only by a hang
MORE = """log_every: 1
data: {resolutions: [64]}
held_out: {levels: 1, every: 1000}
previews: {steps: 1, width: 64, height: 64, distilled: klein-nano}"""


def until(true: Callable[[], bool]) -> None:
    """Wait for something that only the disk shows."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def type_into(panel: Any, label: str, value: str) -> None:
    """Fill a field and leave it, so that the kernel hears of it."""
    field = panel.locator(f".{label} :is(input, textarea)").first
    field.fill(value)
    field.press("Tab")


def test_a_run_from_its_form_to_its_stop(lab: Any, tmp_path: Path) -> None:
    data = tmp_path / "shape"
    write_example("shape", data, count=6, regularisation=2)
    lab.open_cell("train.ipynb", SOURCE)
    form = lab.page.locator(".jp-OutputArea .wb-panel").first
    form.locator("button.ft-start").wait_for()
    for label, value in {"data": str(data), "trigger": "wug", "name": "lab-run", "steps": "100000"}.items():
        type_into(form, f"ft-field-{label}", value)
    type_into(form, "ft-field-checkpoint-every", "100000")
    type_into(form, "ft-prompts", "a red wug on a white background")
    type_into(form, "ft-more", MORE)
    for part in ("name: lab-run", "checkpoint_every: 100000", "- 64", "distilled: klein-nano"):
        form.locator(".ft-yaml pre", has_text=part).wait_for()  # the kernel has heard of every field
    form.locator("button.ft-check").click()
    form.get_by_text("Ready to train").first.wait_for()
    lab.shot("run-panel-checked")

    form.locator("button.ft-start").click()
    run = form.locator(".wb-panel").first
    status = run.locator(".wb-status")
    status.get_by_text("running").wait_for()
    run.get_by_text("steps a second").wait_for()
    run.locator("svg polyline").first.wait_for()
    lab.shot("run-panel-running")

    folder = RunFolder(Path(lab.kernel("print(panel.session.settings.home)")) / "runs" / "lab-run")
    run.locator("button.wb-pause").click()
    status.get_by_text("paused").wait_for()
    waits = folder.status().step
    assert waits > 0
    run.locator("button.wb-pause", has_text="Go on").click()
    status.get_by_text("running").wait_for()

    run.locator("button.wb-sample").click()
    run.locator(".wb-strip img").first.wait_for()
    run.locator(".wb-strip img").first.click()
    run.get_by_text("prompt 1, klein-nano").first.wait_for()
    run.locator("button.wb-save").click()
    until(lambda: bool(folder.steps_saved()))
    assert status.inner_text().count("running") == 1  # saving ends nothing
    run.locator("button.wb-stop").click()
    status.get_by_text("stopped").wait_for()
    lab.shot("run-panel-stopped")

    saved = [record["step"] for record in folder.records() if record["event"] == "checkpoint"]
    assert folder.steps_saved()[-1] == saved[-1] == folder.status().step > waits
    assert load_checkpoint(folder.checkpoint(saved[-1])).adapter
    assert run.locator("button.wb-resume").is_enabled()
    lab.assert_clean()
