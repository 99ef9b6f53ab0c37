"""The card of a run: everything a reader needs, and nothing that a caption could inject."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from finetune.card import escape, write_card
from finetune.cli import app
from finetune.config import TrainConfig
from finetune.runfolder import RunFolder
from tests.conftest import TinyKlein, write_adapter

CAPTION = "a <script>alert(1)</script> *star* | pipe"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs" / "toy")
    folder.create(
        TrainConfig.parse(
            {
                "model": "klein-nano-base", "name": "toy", "steps": 30, "adapter": {"rank": 4},
                "data": {"path": "photos", "trigger": "wug"},
            }
        )
    )  # fmt: skip
    return folder


def fill(run: RunFolder, base: Path) -> None:
    """What a finished run has."""
    own = {"captions": [CAPTION], "references": [], "buckets": ["128x128"], "regularisation": False}
    manifest = {
        "examples": {"a.png": own, "b.png": own, "reg/c.png": {**own, "regularisation": True}},
        "held_out": ["b.png"],
    }
    run.data.write_text(json.dumps(manifest), encoding="utf-8")
    for step in (1, 10, 20, 30):
        run.append({"event": "step", "step": step, "loss": 1 / step, "time": 0})
        run.append({"event": "held_out", "step": step, "loss": 2 / step, "time": 0})
    for step in (0, 30):
        folder = run.previews / f"step-{step:06d}"
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "00-klein.png")
    write_adapter(run.adapter, base, rank=4, seed=0)
    (run.path / "pick").mkdir()
    (run.path / "pick" / "pick.yaml").write_text(yaml.safe_dump({"findings": ["Keep step 30 at 0.8."]}))


def test_a_finished_run_is_described(run: RunFolder, tiny_klein: TinyKlein) -> None:
    fill(run, tiny_klein.base)
    files = write_card(run)
    assert [path.name for path in files] == ["README.md", "curves.png"]
    with Image.open(files[1]) as picture:
        assert picture.width > 600
    text = files[0].read_text(encoding="utf-8")
    front, body = text.removeprefix("---\n").split("---\n", 1)
    facts = yaml.safe_load(front)
    assert facts["base_model"] == "klein-nano-base"
    assert (facts["license"], facts["instance_prompt"]) == ("apache-2.0", "wug")
    for words in (
        "LoRA of rank 4", "Keep step 30 at 0.8.", "2 pictures, 1 of them held out", "1 regularisation pictures",
        "previews/step-000000/00-klein.png", "previews/step-000030/00-klein.png", "128x128 (2)", "Apache-2.0",
        "finetune train config.yaml", "rank: 4", "weight 1.0 is the trained strength",
    ):  # fmt: skip
        assert words in body, words
    assert "<script>" not in body
    assert escape(CAPTION) in body


def test_a_run_that_has_only_begun_has_a_card(run: RunFolder) -> None:
    (path,) = write_card(run)
    text = path.read_text(encoding="utf-8")
    assert "## Training" in text
    for absent in ("## Pictures", "## Which checkpoint", "## How to use it", "## Data", "curves.png"):
        assert absent not in text


def test_command(run: RunFolder, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["card", "toy", "--home", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == [str(run.path / "README.md")]
    missing = CliRunner().invoke(app, ["card", "absent", "--home", str(tmp_path)])
    assert missing.exit_code == 2
    assert "Choose one of: toy" in missing.stderr
