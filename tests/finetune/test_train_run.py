"""A run from its configuration to an adapter that the engine can use; what is refused; what is written."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from finetune.checkpoint import CheckpointError, load_checkpoint
from finetune.config import TrainConfig
from finetune.execute import execute
from finetune.failures import TrainingError
from finetune.passes import choose_recomputed
from finetune.recompute import Recomputed
from finetune.run import RunHandle, create_run
from finetune.runfolder import RunError, RunFolder, find_run, list_runs
from finetune.surgery.runs import adapter_of, run_differences
from tests.finetune.training import losses, run, sha256, small, write_pictures
from workbench.engine.events import CancelToken
from workbench.errors import WorkbenchError
from workbench.models import ModelCatalog
from workbench.recipe import Adapter, Recipe

if TYPE_CHECKING:
    from tests.conftest import TinyKlein


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "squares")


@pytest.fixture
def catalog(tiny_klein: TinyKlein, tmp_path: Path) -> ModelCatalog:
    return ModelCatalog(tmp_path / "home", tiny_klein.root, device="cpu")


@pytest.fixture(scope="module")
def finished(
    tiny_klein: TinyKlein, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunFolder, ModelCatalog]:
    """One run with previews, to its end."""
    catalog = ModelCatalog(tmp_path_factory.mktemp("finished"), tiny_klein.root, device="cpu")
    previews = {"every": 12, "prompts": ["a red square"], "steps": 2, "width": 64, "height": 64}
    return run(small(pictures, previews=previews), catalog), catalog


def test_a_run_leaves_everything_in_its_folder(finished: tuple[RunFolder, ModelCatalog]) -> None:
    folder, _ = finished
    assert folder.status().state == "finished"
    assert folder.steps_saved() == [2, 4, 6, 8, 10, 12]
    assert TrainConfig.load(folder.path / "config.yaml") == folder.config
    manifest = json.loads(folder.data.read_text(encoding="utf-8"))
    assert len(manifest["examples"]) == 6
    assert len(manifest["held_out"]) == 2
    events = [record["event"] for record in folder.records()]
    assert events.count("held_out") == 3  # before the first step, at 6 and at 12
    assert events.count("checkpoint") == 6
    assert events[-1] == "finished"
    assert "wug" in (folder.path / "README.md").read_text(encoding="utf-8")
    assert all(loss > 0 for _, loss in losses(folder))


def test_previews_are_drawn_on_base_and_distilled(finished: tuple[RunFolder, ModelCatalog]) -> None:
    folder, _ = finished
    names = sorted(
        path.relative_to(folder.previews).as_posix() for path in folder.previews.rglob("*") if path.is_file()
    )
    assert names == [
        f"step-{step:06d}/00-{model}.png" for step in (0, 12) for model in ("tiny-base", "tiny-distilled")
    ]  # and no adapter is left beside them


def test_the_adapter_is_in_the_catalog_and_changes_pictures(finished: tuple[RunFolder, ModelCatalog]) -> None:
    from workbench.engine import Engine

    folder, catalog = finished
    assert catalog.adapters() == ["small"]
    assert sha256(catalog.home / "adapters" / "small.safetensors") == sha256(folder.adapter)
    recipe = Recipe(model="tiny-base", prompt="a red square", steps=2, width=64, height=64)
    with_adapter = recipe.replace(adapters=(Adapter(name="small"),))
    first, second = (result.picture for result in Engine(catalog, device="cpu").run([recipe, with_adapter]))
    assert first is not None
    assert second is not None
    assert first.tobytes() != second.tobytes()


def test_the_file_holds_what_was_trained(finished: tuple[RunFolder, ModelCatalog]) -> None:
    from finetune import read_info

    folder, _ = finished
    last = load_checkpoint(folder.checkpoint(12))
    saved = load_file(folder.adapter)
    assert saved.keys() == last.adapter.keys()
    for key, value in saved.items():
        assert torch.equal(value, last.adapter[key]), key  # alpha is the rank, so nothing is scaled
        assert last.adapter[key].dtype == torch.float32
    info = read_info(folder.adapter)
    assert info.ranks == {4: len(info.modules)}
    assert info.metadata["modelspec.trigger_phrase"] == "wug"


def test_text_features_are_bit_equal_to_inference(tiny_klein: TinyKlein, pictures: Path, catalog: ModelCatalog) -> None:
    from diffusers import Flux2KleinPipeline

    from finetune.base import find_base, load_base

    config = small(pictures)
    base = load_base(find_base("tiny-base", catalog), config, torch.device("cpu"))
    assert base.encoders is not None
    pipeline = Flux2KleinPipeline.from_pretrained(tiny_klein.base, local_files_only=True)
    for caption in ("a red square", "", "long " * 60):
        ours, warning = base.encoders.text(caption)
        with torch.no_grad():
            theirs, _ = pipeline.encode_prompt(
                caption, max_sequence_length=base.row.max_sequence_length, text_encoder_out_layers=base.row.text_layers
            )
        assert torch.equal(ours.embeds, theirs)
        assert bool(warning) == (len(caption) > 100)


def test_a_resumed_run_gives_the_same_bits(pictures: Path, catalog: ModelCatalog) -> None:
    whole = run(small(pictures, name="whole", ema=0.9, schedule={"kind": "cosine"}), catalog)
    parts = create_run(small(pictures, name="parts", ema=0.9, schedule={"kind": "cosine"}), catalog.home)
    for wanted in (3, 8, 12):
        token = CancelToken()

        def listen(record: dict[str, Any], token: CancelToken = token, wanted: int = wanted) -> None:
            if record["event"] == "checkpoint" and record["step"] >= wanted and wanted < 12:
                token.cancel()

        execute(parts, catalog, listen=listen, token=token)
    assert sha256(whole.adapter) != sha256(catalog.home / "runs" / "whole" / "config.yaml")
    one, two = load_checkpoint(whole.checkpoint(12)), load_checkpoint(parts.checkpoint(12))
    for key, value in one.adapter.items():
        assert torch.equal(value, two.adapter[key]), key
    for key, value in one.average.items():
        assert torch.equal(value, two.average[key]), key
    assert load_file(whole.adapter).keys() == load_file(parts.adapter).keys()
    assert [step for step, _ in losses(parts)] == sorted({step for step, _ in losses(parts)})


def test_a_changed_run_is_not_resumed(pictures: Path, catalog: ModelCatalog, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "own")
    folder = run(small(data, steps=4, checkpoint_every=4), catalog)
    edited = folder.config.replace(steps=8, optimiser={"learning_rate": 5e-4})
    (folder.path / "config.yaml").write_text(edited.to_yaml(), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"optimiser.learning_rate: 0.001 -> 0.0005"):
        execute(folder, catalog)
    assert folder.status().state == "failed"
    (folder.path / "config.yaml").write_text(folder.config.replace(optimiser={"learning_rate": 1e-3}).to_yaml())
    (data / "2.txt").write_text("a blue circle", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"caption of own/2\.png changed"):
        execute(folder, catalog)
    (data / "2.txt").write_text("a blue square", encoding="utf-8")
    assert execute(folder, catalog).step == 8  # more steps are no change
    other = folder.config.replace(optimiser={"learning_rate": 5e-4}, seed=9, steps=9)
    (folder.path / "config.yaml").write_text(other.to_yaml(), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"differs from its checkpoint: seed: 0 -> 9\."):
        execute(folder, catalog, allow=["optimiser.learning_rate"])
    assert execute(folder, catalog, allow=["optimiser.learning_rate", "seed"]).step == 9


def test_the_first_value_that_is_not_finite_stops_the_run(pictures: Path, catalog: ModelCatalog) -> None:
    config = small(pictures, adapter={"rank": 4, "alpha": 1e15}, optimiser={"learning_rate": 10.0, "clip": 1e30},
                   steps=20, checkpoint_every=1, held_out={"every": 500})  # fmt: skip
    folder = create_run(config, catalog.home)
    with pytest.raises(
        TrainingError, match=r"Step \d+ is not finite .* for squares/\d\.png \(noise level 0\."
    ) as caught:
        execute(folder, catalog)
    assert f"checkpoint of step {folder.steps_saved()[-1]} is kept" in caught.value.remedy
    assert folder.status().state == "failed"
    kept = load_checkpoint(folder.checkpoint(folder.steps_saved()[-1]))
    assert all(bool(torch.isfinite(value).all()) for value in kept.adapter.values())
    assert not folder.adapter.exists()


def test_commands_of_a_panel_are_obeyed(pictures: Path, catalog: ModelCatalog) -> None:
    config = small(pictures, steps=40, checkpoint_every=100, log_every=1, held_out={"every": 100})
    handle = RunHandle(create_run(config, catalog.home))
    seen: list[str] = []
    paused = threading.Event()

    def listen(record: dict[str, Any]) -> None:
        if record["event"] == "step" and record["step"] == 2:
            handle.save()
        if record["event"] == "checkpoint" and not seen:
            seen.append("saved")
            handle.pause()
        if record["event"] == "step" and seen == ["saved"] and paused.is_set():
            seen.append("went on")
            handle.stop()

    def watch() -> None:
        while handle.status().state != "paused":
            pass
        paused.set()
        handle.go_on()

    thread = threading.Thread(target=watch)
    thread.start()
    status = execute(handle.folder, catalog, listen=listen)
    thread.join()
    assert status.state == "stopped"
    assert seen == ["saved", "went on"]
    assert status.step < 40
    assert handle.folder.steps_saved()[-1] == status.step  # a stop saves


def test_a_running_average_is_what_is_saved(pictures: Path, catalog: ModelCatalog) -> None:
    folder = run(small(pictures, ema=0.5), catalog)
    last, saved = load_checkpoint(folder.checkpoint(12)), load_file(folder.adapter)
    assert any(not torch.equal(value, last.adapter[key]) for key, value in saved.items())
    shapes = sorted(tuple(value.shape) for value in last.average.values())
    assert shapes == sorted(tuple(value.shape) for value in saved.values())


@pytest.mark.parametrize("kind", ["rslora", "dora", "lokr"])
def test_other_kinds_of_adapters_train_resume_and_save(pictures: Path, catalog: ModelCatalog, kind: str) -> None:
    adapter = {"kind": kind, "rank": 4, "targets": "attention"}
    config = small(pictures, adapter=adapter, steps=4, name=kind)
    folder = run(config, catalog)
    first = load_checkpoint(folder.checkpoint(2)).adapter
    second = load_checkpoint(folder.checkpoint(4)).adapter
    assert any(not torch.equal(first[key], second[key]) for key in first)
    assert folder.adapter.is_file()


@pytest.mark.parametrize("kind", ["adafactor", "prodigy"])
def test_other_optimisers_train_and_resume(pictures: Path, catalog: ModelCatalog, kind: str) -> None:
    rate = 1.0 if kind == "prodigy" else 1e-3
    changes: dict[str, Any] = {"optimiser": {"kind": kind, "learning_rate": rate}, "checkpoint_every": 3, "steps": 6}
    whole = run(small(pictures, name="whole", **changes), catalog)
    part = create_run(small(pictures, name="part", **changes), catalog.home)
    token = CancelToken()
    execute(
        part, catalog, listen=lambda record: token.cancel() if record["event"] == "checkpoint" else None, token=token
    )
    execute(part, catalog)
    one, two = (load_checkpoint(folder.checkpoint(6)).adapter for folder in (whole, part))
    assert all(torch.equal(value, two[key]) for key, value in one.items())


def test_edit_pairs_train(catalog: ModelCatalog, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "pairs", pairs=2)
    folder = run(small(data, steps=4, name="pairs", previews={"every": 4, "steps": 2}), catalog)
    assert len(list(folder.previews.glob("step-000004/*.png"))) == 12  # six edits on base and distilled
    assert len(list(folder.previews.glob("input-*.png"))) == 12  # with two references each
    assert folder.status().state == "finished"
    other = write_pictures(tmp_path / "plain")
    assert losses(run(small(other, steps=4, name="plain"), catalog)) != losses(folder)


def test_edits_with_four_references_train(catalog: ModelCatalog, tmp_path: Path) -> None:
    folder = run(small(write_pictures(tmp_path / "four", pairs=4, count=3), steps=2, batch_size=1), catalog)
    assert folder.status().state == "finished"
    manifest = json.loads(folder.data.read_text(encoding="utf-8"))
    assert all(len(each["references"]) == 4 for each in manifest["examples"].values())


def test_recomputing_blocks_changes_no_bit(pictures: Path, catalog: ModelCatalog) -> None:
    states = []
    for name in ("none", "half", "all"):
        folder = run(small(pictures, steps=2, name=name, gradient_checkpointing=name), catalog)
        states.append(load_checkpoint(folder.checkpoint(2)).adapter)
    for other in states[1:]:
        assert all(torch.equal(value, other[key]) for key, value in states[0].items())


def test_blocks_are_recomputed_when_memory_asks_for_it() -> None:
    needs: dict[Recomputed, float] = {"none": 10.0, "half": 6.0, "all": 2.0}
    config = TrainConfig.parse({"model": "a", "data": "b"})
    chosen = [choose_recomputed(config, needs, free) for free in (12.0, 11.0, 7.1, 7.0, 1.0)]
    assert chosen == ["none", "half", "half", "all", "all"]  # 85 % of what is free are planned for
    assert choose_recomputed(config.replace(gradient_checkpointing="half"), needs, 1.0) == "half"
    assert choose_recomputed(config, None, 1.0) == "none"


def test_a_run_with_too_little_memory_recomputes_and_goes_on(
    pictures: Path, catalog: ModelCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bits: so a run may go on elsewhere, or with another choice."""
    folder = run(small(pictures, steps=2), catalog)
    monkeypatch.setattr("finetune.execute.free_memory", lambda _: 1.0)
    (folder.path / "config.yaml").write_text(folder.config.replace(steps=4).to_yaml(), encoding="utf-8")
    assert execute(folder, catalog).step == 4
    told = [record["recomputed"] for record in folder.records() if record["event"] == "started"]
    assert told == ["none", "all"]
    other = run(small(pictures, steps=4, name="other", gradient_checkpointing="none", deterministic=True), catalog)
    one, two = (load_checkpoint(each.checkpoint(4)).adapter for each in (folder, other))
    assert all(torch.equal(value, two[key]) for key, value in one.items())
    assert not torch.are_deterministic_algorithms_enabled()  # as before
    assert run_differences(folder, other) == ["deterministic: False -> True"]
    assert adapter_of("other", catalog.home) == (other.adapter, other)


def test_previews_change_no_bit(
    finished: tuple[RunFolder, ModelCatalog], pictures: Path, catalog: ModelCatalog
) -> None:
    """Neither the random numbers nor the module in training notice that pictures are drawn."""
    with_previews, _ = finished
    without = run(small(pictures), catalog)
    one, two = (load_checkpoint(folder.checkpoint(12)).adapter for folder in (with_previews, without))
    assert all(torch.equal(value, two[key]) for key, value in one.items())


def test_an_alpha_of_its_own_is_folded_into_the_file(pictures: Path, catalog: ModelCatalog) -> None:
    adapter = {"rank": 4, "rank_pattern": {"attn.to_q": 2}, "alpha_pattern": {"attn.to_k": 8.0}, "targets": "attention"}
    folder = run(small(pictures, steps=2, adapter=adapter), catalog)
    raw, saved = load_checkpoint(folder.checkpoint(2)).adapter, load_file(folder.adapter)
    for part, factor in (("to_q", 1.0), ("to_k", 2.0), ("to_v", 1.0)):
        name = f"transformer.transformer_blocks.0.attn.{part}.lora_B.weight"
        torch.testing.assert_close(saved[name], factor * raw[name], rtol=1e-6, atol=0)


def test_out_of_memory_says_what_was_tried(pictures: Path, catalog: ModelCatalog) -> None:
    folder = create_run(small(pictures), catalog.home)

    def listen(record: dict[str, Any]) -> None:
        if record["event"] == "step":
            raise torch.OutOfMemoryError("of a device")

    with pytest.raises(TrainingError, match=r"no memory left .*\(batches of 2 at up to 64x64.* GB estimated") as caught:
        execute(folder, catalog, listen=listen)
    assert caught.value.remedy.index("gradient_checkpointing") < caught.value.remedy.index("quant")
    assert folder.status().state == "failed"


def test_trackers_of_accelerate_get_the_losses(pictures: Path, catalog: ModelCatalog) -> None:
    folder = run(small(pictures, steps=2, trackers=["tensorboard"]), catalog)
    assert list(folder.path.rglob("events.out.tfevents.*"))


REFUSED = [
    ({"model": "tiny-distilled"}, "step-distilled"),
    ({"model": "tiny-bas"}, "Did you mean 'tiny-base'"),
    ({"precision": "fp16"}, "float16"),
    ({"adapter": {"alpha": 0}}, "alpha must be more than 0"),
    ({"adapter": {"rank": 500}}, "Use a rank of"),
    ({"adapter": {"targets": "no_such_layer"}}, "match no linear layer"),
    ({"adapter": {"targets": r"proj_out"}}, "ComfyUI"),
    ({"adapter": {"targets": "(", "rank": 2}}, "no regular expression"),
    ({"adapter": {"rank_pattern": {"nothing": 2}, "rank": 4}}, "rank pattern"),
    ({"adapter": {"alpha_pattern": {"nothing": 2}, "rank": 4}}, "alpha pattern"),
    ({"adapter": {"alpha_pattern": {"attn.to_q": 0}}}, "more than 0"),
    ({"optimiser": {"kind": "adamw8bit"}}, "bitsandbytes"),
    ({"trackers": ["no-such-tracker"]}, "tracker"),
    ({"stepz": 3}, "Did you mean 'steps'"),
    ({"adapter": {"rnk": 4}}, "Did you mean 'rank'"),
]


@pytest.mark.parametrize(("changes", "reason"), REFUSED, ids=[str(index) for index in range(len(REFUSED))])
def test_refusals_say_why_and_what_to_do(
    pictures: Path, catalog: ModelCatalog, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(WorkbenchError) as caught:
        run(small(pictures, **changes), catalog)
    assert reason in str(caught.value)
    assert caught.value.remedy
    assert not (catalog.home / "adapters").exists()


def test_a_name_is_used_once(pictures: Path, catalog: ModelCatalog) -> None:
    folder = run(small(pictures, steps=2), catalog)
    with pytest.raises(RunError, match="There is a"):
        create_run(small(pictures), catalog.home)
    assert [each.path for each in list_runs(catalog.home)] == [folder.path]
    with pytest.raises(RunError, match="Did you mean 'small'"):
        find_run("smal", catalog.home)


def test_a_damaged_checkpoint_is_said_and_the_one_before_it_is_there(pictures: Path, catalog: ModelCatalog) -> None:
    folder = run(small(pictures, steps=4), catalog)
    path = folder.checkpoint(4) / "state.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="step-000004 cannot be read"):
        execute(folder, catalog)
    assert load_checkpoint(folder.checkpoint(2)).step == 2


def test_adapter_entries_move_under_a_bfloat16_base(pictures: Path, catalog: ModelCatalog) -> None:
    """In bfloat16 most entries of A would stay where they are; in float32 under a bfloat16 base all of them move."""
    config = small(pictures, precision="bfloat16", optimiser={"learning_rate": 1e-4}, steps=6, adapter={"rank": 4})
    folder = run(config, catalog)
    first, last = (load_checkpoint(folder.checkpoint(step)).adapter for step in (2, 6))
    for key, value in last.items():
        assert value.dtype == torch.float32
        moved = (value != first[key]).float().mean()
        assert float(moved) > 0.99, key


def test_command_line(tiny_klein: TinyKlein, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from finetune.cli import app

    monkeypatch.setenv("WORKBENCH_MODELS", str(tiny_klein.root))
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    options = ["--set", "data.resolutions=[64]", "--set", "adapter.rank=2", "--set", "batch_size=2"]
    runner = CliRunner()
    done = runner.invoke(
        app,
        [
            "train",
            "--model",
            "tiny-base",
            "--data",
            str(pictures),
            "--steps",
            "2",
            "--trigger",
            "wug",
            *options,
            "--json",
        ],
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["name"], told["state"], told["step"]) == ("squares", "finished", 2)
    assert "resumed" not in told["log"][0]
    again = runner.invoke(app, ["resume", "squares", "--steps", "3"])
    assert again.exit_code == 0, again.output
    assert "step 3 of 3" in again.stdout
    same = runner.invoke(app, ["diff", "squares", "squares", "--json"])
    assert (same.exit_code, json.loads(same.stdout)["runs"]) == (0, [])
    listed = json.loads(runner.invoke(app, ["runs", "--json"]).stdout)
    assert [(each["name"], each["state"]) for each in listed] == [("squares", "finished")]
    wrong = runner.invoke(app, ["train", "--model", "tiny-distilled", "--data", str(pictures), "--name", "x", *options])
    assert wrong.exit_code == 2
    assert "step-distilled" in wrong.stderr
