"""The panel of a run: it shows what the run's folder says, and leaves commands in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from finetune.config import TrainConfig
from finetune.panels.run import RunPanel, preview_path, thin
from finetune.run import RunHandle
from finetune.runfolder import RunFolder, Status, process_started


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run that this process claims to be training."""
    folder = RunFolder(tmp_path / "runs" / "zog")
    folder.create(TrainConfig.parse({"model": "klein-nano-base", "data": "photos", "steps": 200}))
    folder.set_status(Status("running", 20, 200, os.getpid(), process_started(os.getpid())))
    for step in (0, 10, 20):
        folder.append({"event": "held_out", "step": step, "loss": 0.5 - step / 100, "best_step": step})
        folder.append({"event": "step", "step": step, "loss": 0.6, "per_second": 2.5, "memory": 10**9})
    return folder


@pytest.fixture
def panel(folder: RunFolder) -> Iterator[RunPanel]:
    panel = RunPanel(RunHandle(folder))
    yield panel
    panel.close()


def test_it_shows_state_curve_and_figures(panel: RunPanel) -> None:
    assert "running · step 20 of 200" in panel.head.value
    assert panel.curve.training == [[0, 0.6], [10, 0.6], [20, 0.6]]
    assert panel.curve.held_out == [[0, 0.5], [10, 0.4], [20, 0.3]]
    assert panel.curve.steps == 200
    assert panel.progress.value == pytest.approx(0.1)
    assert panel.figures.value == "loss 0.6, held-out 0.3 (best at step 20), 2.5 steps a second, 1.0 GB"


def test_buttons_leave_commands(panel: RunPanel, folder: RunFolder) -> None:
    for name in ("stop", "save", "sample"):
        getattr(panel, f"{name}_button").click()
        assert folder.has(name)
    panel.pause_button.click()
    assert folder.has("pause")
    assert panel.pause_button.description == "Go on"
    panel.pause_button.click()
    assert not folder.has("pause")
    assert panel.resume_button.disabled


def test_previews_are_listed_newest_first_and_open(panel: RunPanel, folder: RunFolder) -> None:
    names = [f"previews/step-{step:06d}/00-tiny-base.png" for step in (10, 20)]
    for name in names:
        path = folder.path / name
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8), "red").save(path)
        folder.append({"event": "preview", "step": 10, "pictures": [name]})
    panel.refresh()
    assert [item["id"] for item in panel.strip.items] == names[::-1]
    assert panel.strip.items[0]["title"] == "step 20, prompt 1, tiny-base"
    panel.strip.received({"type": "open", "id": names[0]})
    assert panel.picture.layout.display == "block"
    assert panel.caption.value == "step 10, prompt 1, tiny-base"
    assert panel.strip.current == names[0]


@pytest.mark.parametrize(
    "identity", ["../../secret.png", "previews/../config.yaml", "previews/step-000010/../../x.png", "/etc/passwd"]
)
def test_a_page_cannot_read_other_files(folder: RunFolder, identity: str) -> None:
    assert preview_path(folder.path, identity) is None


def test_a_run_that_has_ended_can_go_on(folder: RunFolder) -> None:
    folder.set_status(Status("failed", 20, 200, os.getpid(), message="Step 21 is not finite <b>."))
    panel = RunPanel(RunHandle(folder))
    try:
        assert "&lt;b&gt;" in panel.head.value  # text of a run is text, not HTML
        assert panel.banner.text.startswith("Step 21")
        assert panel.stop_button.disabled
        assert not panel.resume_button.disabled
    finally:
        panel.close()


def test_a_dead_process_is_seen(folder: RunFolder) -> None:
    folder.set_status(Status("running", 20, 200, 2**22 - 1, 1.0))
    assert folder.status().state == "stopped"
    folder.set_status(Status("running", 20, 200, os.getpid(), 1.0))  # its number was given to another process
    assert folder.status().state == ("stopped" if process_started(os.getpid()) else "running")


def test_long_curves_are_thinned() -> None:
    points = [(step, 1.0) for step in range(10_001)]
    kept = thin(points)
    assert len(kept) <= 1001
    assert kept[-1] == [10_000, 1.0]
    assert thin(points[:3]) == [[0, 1.0], [1, 1.0], [2, 1.0]]
