"""Picking a checkpoint: the rule on values whose answer is known, and the whole of it on a tiny trained run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

from finetune.checkpoint import Checkpoint, save_checkpoint
from finetune.cli import app
from finetune.config import TrainConfig
from finetune.export import export_checkpoint
from finetune.formats import load_adapter
from finetune.pick import ConceptScorer, PickConfig, PickError, checkpoint_grid, concept_suite, pick
from finetune.pick.candidates import Candidate, choose_steps, exported
from finetune.pick.choose import Choice, Values, choose
from finetune.pick.result import verdict
from finetune.pick.suites import from_list, held_out_suite
from finetune.runfolder import RunError, RunFolder
from tests.conftest import TinyKlein
from workbench.models.catalog import ModelCatalog
from workbench.models.dialects.changes import LowRank
from workbench.session import Session
from workbench.settings import settings

EARLY, LATE, STRONG = Candidate(100, 0.8), Candidate(200, 0.8), Candidate(200, 1.0)
PROMPTS, SEEDS = 30, 2


def values(
    levels: Mapping[Candidate | None, float], *, noise: float = 0.05, seed: int = 0, direction: Any = "higher"
) -> Values:
    """Per picture: a level, a part that all share (the prompt's difficulty), and own noise."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.2, PROMPTS).repeat(SEEDS)
    own = {name: level + shared + rng.normal(0, noise, PROMPTS * SEEDS) for name, level in levels.items()}
    clusters = tuple(f"prompt {place // SEEDS}" for place in range(PROMPTS * SEEDS))
    found = {name: column for name, column in own.items() if name is not None}
    return Values("share right", share=True, direction=direction, clusters=clusters, base=own[None], candidates=found)


DRIFT = values({None: 0.0, EARLY: 0.02, LATE: 0.10, STRONG: 0.15}, noise=0.001, direction="lower")
FLAT = values({None: 0.9, EARLY: 0.9, LATE: 0.9, STRONG: 0.9}, seed=1)


def verdicts(choice: Choice) -> dict[str, str]:
    return {each.candidate.name: verdict(each, choice) for each in choice.judged}


def test_the_better_one_is_kept() -> None:
    choice = choose(values({None: 0.3, EARLY: 0.4, LATE: 0.6, STRONG: 0.45}), FLAT, DRIFT)
    assert choice.keep is not None
    assert choice.keep.candidate == LATE
    assert choice.ties == ()
    assert choice.keep.gain.value == pytest.approx(0.3, abs=0.04)
    assert choice.keep.gain.low > 0.2
    assert verdicts(choice)["step 100 at 0.8"] == "better than the base"


def test_of_equals_the_one_that_changes_least_is_kept() -> None:
    """Paired over prompts: the prompts' own spread does not hide that two candidates are equal."""
    choice = choose(values({None: 0.3, EARLY: 0.600, LATE: 0.601, STRONG: 0.602}, noise=0.1), FLAT, DRIFT)
    assert choice.keep is not None
    assert choice.keep.candidate == EARLY
    assert {each.candidate for each in choice.ties} == {LATE, STRONG}
    assert verdicts(choice) == {
        "step 100 at 0.8": "keep", "step 200 at 0.8": "as good", "step 200 at 1": "as good",
    }  # fmt: skip


def test_one_that_harms_the_control_is_out() -> None:
    control = values({None: 0.9, EARLY: 0.9, LATE: 0.6, STRONG: 0.9}, seed=2)
    choice = choose(values({None: 0.3, EARLY: 0.4, LATE: 0.9, STRONG: 0.5}), control, DRIFT)
    assert choice.keep is not None
    assert choice.keep.candidate == STRONG
    assert verdicts(choice)["step 200 at 0.8"] == "harms the control"


def test_nothing_is_kept_when_nothing_is_shown() -> None:
    choice = choose(values({None: 0.3, EARLY: 0.3, LATE: 0.305, STRONG: 0.3}, noise=0.2), FLAT, DRIFT)
    assert choice.keep is None
    assert choice.leader is not None
    bad = values({None: 0.9, EARLY: 0.5, LATE: 0.5, STRONG: 0.5}, seed=2)
    choice = choose(values({None: 0.3, EARLY: 0.9, LATE: 0.9, STRONG: 0.9}), bad, DRIFT)
    assert (choice.keep, choice.leader) == (None, None)


def test_lower_may_be_better_and_values_may_be_missing() -> None:
    target = values({None: 0.6, EARLY: 0.5, LATE: 0.2, STRONG: 0.4}, direction="lower")
    target.base[:4] = np.nan
    target.candidates[LATE][4:8] = np.nan
    choice = choose(target, None, DRIFT)
    assert choice.keep is not None
    assert choice.keep.candidate == LATE
    assert choice.keep.gain.n == PROMPTS * SEEDS - 8
    assert choice.keep.gain.value < 0
    assert choice.keep.loss is None
    target.base[:] = np.nan
    with pytest.raises(PickError, match="No picture"):
        choose(target, None, DRIFT)


def test_a_false_gain_is_rare() -> None:
    """Three equal candidates, five times: Holm's correction keeps the chance of keeping any near 5 %."""
    candidates = [Candidate(step, 1.0) for step in range(1, 4)]
    levels: dict[Candidate | None, float] = dict.fromkeys([None, *candidates], 0.5)
    drift = values(levels, noise=0.001, direction="lower")
    kept = sum(choose(values(levels, seed=seed, noise=0.1), None, drift).keep is not None for seed in range(5))
    assert kept <= 1


def checkpoint(step: int, strength: float) -> Checkpoint:
    """A checkpoint as the trainer writes it, of rank 2 and alpha 4."""
    generator = torch.Generator().manual_seed(step)
    adapter = {}
    for module, rows in (("transformer_blocks.0.attn.to_q", 64), ("transformer_blocks.1.attn.to_v", 64)):
        adapter[f"transformer.{module}.lora_A.weight"] = torch.randn(2, 64, generator=generator)
        adapter[f"transformer.{module}.lora_B.weight"] = strength * torch.randn(rows, 2, generator=generator)
    pattern = r"transformer_blocks\.(0\.attn\.to_q|1\.attn\.to_v)"
    settings = {"transformer.r": 2, "transformer.lora_alpha": 4.0, "transformer.target_modules": pattern}
    metadata = {"lora_adapter_metadata": json.dumps(settings)}
    facts = {"config": {"precision": "float32"}, "data": {}}
    return Checkpoint(step, adapter, metadata, {"state": {0: {"step": torch.ones(1)}}, "param_groups": []}, {}, facts)


@pytest.fixture
def run(tiny_klein: TinyKlein, tmp_path: Path) -> RunFolder:
    """A finished run of the tiny model with three checkpoints."""
    folder = RunFolder(tmp_path / "home" / "runs" / "toy")
    values = {
        "model": str(tiny_klein.base), "data": "photos", "name": "toy",
        "adapter": {"rank": 2, "alpha": 4, "targets": "attention"},
    }  # fmt: skip
    folder.create(TrainConfig.parse(values))
    for step, strength in ((10, 0.05), (20, 0.2), (30, 0.4)):
        save_checkpoint(folder, checkpoint(step, strength))
    examples = {f"{name}.png": {"captions": [f"a {name} cat"]} for name in ("red", "blue", "green")}
    manifest = {"examples": examples, "held_out": ["red.png", "green.png"]}
    folder.data.write_text(json.dumps(manifest), encoding="utf-8")
    return folder


@pytest.fixture
def catalog(tiny_klein: TinyKlein, tmp_path: Path) -> ModelCatalog:
    return ModelCatalog(tmp_path / "home", tiny_klein.root, device="cpu")


@pytest.mark.parametrize("naming", ["diffusers", "kohya"])
def test_a_checkpoint_is_exported_with_its_strength(
    run: RunFolder, catalog: ModelCatalog, tmp_path: Path, naming: Any
) -> None:
    path = export_checkpoint(run, 20, tmp_path / "out" / "toy.safetensors", catalog, format=naming)
    adapter = load_adapter(path)
    raw = checkpoint(20, 0.2).adapter
    stem = "transformer.transformer_blocks.0.attn.to_q"
    want = 2 * raw[f"{stem}.lora_B.weight"] @ raw[f"{stem}.lora_A.weight"]  # alpha 4 over rank 2
    change = adapter.changes["transformer_blocks.0.attn.to_q"]
    assert isinstance(change, LowRank)
    torch.testing.assert_close(change.delta(torch.zeros(64, 64)), want)
    assert (adapter.metadata["ss_steps"], adapter.metadata["workbench.run"]) == ("20", "toy")
    with pytest.raises(RunError, match="no checkpoint of step 25"):
        export_checkpoint(run, 25, tmp_path / "x.safetensors", catalog)


def test_a_running_average_takes_the_place_of_the_weights(
    run: RunFolder, catalog: ModelCatalog, tmp_path: Path
) -> None:
    """A checkpoint keeps it by place: A and B of each layer in the model's order."""
    last = checkpoint(30, 0.4)
    names = [f"{key}.lora_{half}.weight" for key in _stems(last) for half in "AB"]
    average = {str(place): torch.full_like(last.adapter[name], place + 1.0) for place, name in enumerate(names)}
    save_checkpoint(run, Checkpoint(30, last.adapter, last.metadata, last.optimiser, average, last.facts))
    path = export_checkpoint(run, None, tmp_path / "toy.safetensors", catalog)
    change = load_adapter(path).changes["transformer_blocks.1.attn.to_v"]
    assert isinstance(change, LowRank)
    assert change.down.unique().tolist() == [3.0]
    assert change.up.unique().tolist() == [8.0]  # 4, times alpha over rank


def _stems(checkpoint: Checkpoint) -> list[str]:
    return sorted({key.rsplit(".", 2)[0] for key in checkpoint.adapter})


def test_exports_are_written_once(run: RunFolder, catalog: ModelCatalog) -> None:
    first = exported(run, 10, catalog)
    written = first.stat().st_mtime_ns
    assert exported(run, 10, catalog) == first
    assert first.stat().st_mtime_ns == written
    assert first.name == "toy-step-000010.safetensors"


def test_steps_are_spread(run: RunFolder) -> None:
    assert choose_steps(run, ()) == [10, 20, 30]
    assert choose_steps(run, (30, 10)) == [10, 30]
    with pytest.raises(PickError, match="step 15"):
        choose_steps(run, (15,))
    for step in range(40, 140, 10):
        save_checkpoint(run, checkpoint(step, 0.1))
    spread = choose_steps(run, ())
    assert len(spread) == 6
    assert spread[-1] == 130


def test_checkpoints_are_a_grid_axis(run: RunFolder, catalog: ModelCatalog) -> None:
    grid = checkpoint_grid(run, {"prompt": "a cat", "seed": 3}, catalog, weights=(0.5, 1.0))
    assert grid.summary(Session(settings(home=catalog.home, models=catalog.extra, device="cpu"))).unique == 7
    assert grid.to_yaml().count("toy-step-0000") == 3


def test_held_out_captions_are_prompts(run: RunFolder) -> None:
    assert [each.prompt for each in held_out_suite(run).prompts] == ["a red cat", "a green cat"]
    run.data.write_text(json.dumps({"examples": {}, "held_out": []}), encoding="utf-8")
    with pytest.raises(PickError, match="held no captions out"):
        held_out_suite(run)


def test_lists_of_prompts() -> None:
    suite = from_list(["a cat", {"prompt": 'the word "CAT"', "ask": {"text": ["CAT"]}}], "mine")
    assert [each.prompt for each in suite.prompts] == ["a cat", 'the word "CAT"']
    assert suite.prompts[1].ask == {"text": ["CAT"]}
    with pytest.raises(PickError, match="no prompts"):
        from_list([], "mine")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"weights": [0.5, 0]}, "weight of 0"),
        ({"weights": []}, "weights"),
        ({"seeds": 0}, "seeds"),
        ({"fields": {"prompt": "x"}}, "prompt is set"),
        ({"weigths": [1]}, "weigths"),
    ],
)
def test_a_wrong_configuration_is_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(PickError, match=says):
        PickConfig.parse(values)


@pytest.mark.parametrize("kind", ["style", "shape", "letter", "edit"])
def test_concepts_are_scored(kind: str, tmp_path: Path) -> None:
    """What was to be drawn scores high; an empty picture scores low."""
    from evals.scoring import Sample
    from finetune.data.examples import samples
    from finetune.pick.concept import SEED

    suite = concept_suite(kind, count=3, folder=tmp_path)
    drawn = list(samples(kind, 3, seed=SEED, held_out=True, alone=True))
    scorer = ConceptScorer()
    for prompt, right in zip(suite.prompts, drawn, strict=True):
        assert prompt.prompt == right.caption
        empty = Image.new("RGB", right.picture.size, "gray")
        good, bad = scorer.score([Sample(each, prompt.prompt, "", prompt.ask) for each in (right.picture, empty)])
        assert (good.values["concept"] or 0) > 0.3
        assert (bad.values["concept"] or 0) < (good.values["concept"] or 0)
        for reference in prompt.references:
            assert isinstance(reference, str)
            assert (tmp_path / reference).is_file()


PICK = {
    "suite": "prompts.yaml", "control": "control.yaml", "scorers": ["hex-colour"], "control_scorers": ["similarity"],
    "weights": [1.0], "steps": [10, 30], "seeds": 1, "fields": {"steps": 1, "width": 64, "height": 64},
}  # fmt: skip


def test_a_pick_from_end_to_end(
    run: RunFolder, tiny_klein: TinyKlein, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn, scored, chosen, written; and made again from its own file without drawing anything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WORKBENCH_MODELS", str(tiny_klein.root))
    rows = [{"prompt": f"a cat, number {number}", "ask": {"colour": "#808080"}} for number in range(4)]
    (tmp_path / "prompts.yaml").write_text(yaml.safe_dump(rows), encoding="utf-8")
    (tmp_path / "control.yaml").write_text("- a dog\n- a house\n", encoding="utf-8")
    (tmp_path / "pick_config.yaml").write_text(yaml.safe_dump(PICK), encoding="utf-8")
    done = CliRunner().invoke(app, ["pick", "toy", "--config", "pick_config.yaml", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert "Keep" in done.stdout
    folder = run.path / "pick"
    facts = yaml.safe_load((folder / "pick.yaml").read_text(encoding="utf-8"))
    assert [(row["step"], row["weight"]) for row in facts["candidates"]] == [(10, 1.0), (30, 1.0)]
    assert facts["candidates"][0]["drift"] < facts["candidates"][1]["drift"]  # the weaker change is the smaller one
    page = (folder / "pick.html").read_text(encoding="utf-8")
    assert page.count("<img") >= 1 + 4 * 3
    assert "a cat, number 0" in page
    for name in ("target", "control"):
        assert (folder / name / "scores.parquet").is_file()
    again = pick(Session(device="cpu"), run, PickConfig.parse(facts["config"]), listen=_refuse)
    assert [row["score"] for row in again.facts()["candidates"]] == [row["score"] for row in facts["candidates"]]
    assert again.figure().axes


def _refuse(event: object) -> None:
    raise AssertionError(f"a picture was made again: {event}")


def test_what_cannot_be_measured_is_said(run: RunFolder, tiny_klein: TinyKlein, tmp_path: Path) -> None:
    session = Session(settings(home=tmp_path / "home", models=tiny_klein.root, device="cpu"))
    with pytest.raises(PickError, match="do not say what to measure"):
        pick(session, run, PickConfig(steps=(10,), weights=(1.0,)))
