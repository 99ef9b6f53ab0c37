"""The form for a new run and presets: the same choices give the same configuration as the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from finetune.config import TrainConfig, TrainConfigError
from finetune.panels.train import TrainPanel, flat
from finetune.presets import PRESETS, build_config
from finetune.train_cli import _config
from tests.finetune.training import write_pictures
from workbench.session import Session
from workbench.settings import settings

if TYPE_CHECKING:
    from tests.conftest import TinyKlein


@pytest.fixture
def panel(tiny_klein: TinyKlein, tmp_path: Path) -> Iterator[TrainPanel]:
    made = TrainPanel(Session(settings(home=tmp_path / "home", models=tiny_klein.root, device="cpu")))
    yield made
    made.close()


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_configurations(preset: str) -> None:
    config = build_config(preset=preset, fields={"model": "klein-nano-base", "data": "photos"})
    for name, value in PRESETS[preset].items():
        found: object = config
        for part in name.split("."):
            found = getattr(found, part)
        assert found == value
    assert config.data.sources[0].path == "photos"


def test_a_file_wins_over_a_preset_and_a_field_over_both(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: m\ndata: {path: photos, trigger: zog}\nsteps: 77\nadapter: {rank: 8}\n", encoding="utf-8")
    config = build_config(preset="edit", file=file, fields={"adapter.alpha": 4, "data.held_out": 2})
    assert (config.steps, config.adapter.rank, config.adapter.alpha) == (77, 8, 4)
    assert config.optimiser.learning_rate == 1e-4  # of the preset
    assert (config.data.trigger, config.data.held_out, config.data.sources[0].path) == ("zog", 2, "photos")
    with pytest.raises(TrainConfigError, match="Did you mean 'style'"):
        build_config(preset="stile")


def test_the_form_is_the_command_line(panel: TrainPanel, tmp_path: Path) -> None:
    assert "tiny-base" in panel.controls["model"].options
    assert "tiny-distilled" not in panel.controls["model"].options
    data = write_pictures(tmp_path / "squares")
    panel.preset.value = "character"
    panel.controls["model"].value = "tiny-base"
    for label, value in {"data": str(data), "trigger": "wug", "steps": "20", "learning rate": "0.001"}.items():
        panel.controls[label].value = value
    panel.prompts.value = "a wug\n\na red square\n"
    panel.more.value = "data: {held_out: 2}\nprior: pictures"
    sets = [
        "optimiser.learning_rate=0.001",
        "previews.prompts=[a wug, a red square]",
        "data.held_out=2",
        "prior=pictures",
    ]
    given = {"model": "tiny-base", "data": str(data), "steps": 20}
    assert panel.config() == _config(None, "character", given, "wug", sets)
    shown = panel.text.value.removeprefix("<pre>").removesuffix("</pre>")
    assert TrainConfig.parse(yaml.safe_load(shown)) == panel.config()
    assert panel.banner.text == ""
    panel.check()
    assert panel.checking is not None
    panel.checking.join()
    assert "Ready to train" in panel.report.value


def test_a_mistake_is_shown_and_nothing_starts(panel: TrainPanel) -> None:
    panel.controls["data"].value = "photos"
    panel.more.value = "stepz: 3"
    assert "Did you mean 'steps'" in panel.banner.text
    panel.start_button.click()
    assert panel.runs.children == ()
    panel.more.value = "steps: [1"
    assert "not valid YAML" in panel.banner.text
    with pytest.raises(TrainConfigError, match="no mapping"):
        flat("- a")
    panel.more.value = ""
    assert panel.banner.text == ""
