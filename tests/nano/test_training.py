"""The training scripts on a miniature recipe: they learn, and a resumed run equals an uninterrupted one."""

from __future__ import annotations

import json
import shutil
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
from diffusers.models import AutoencoderKLFlux2
from numpy.typing import NDArray
from safetensors.torch import load_file

from workbench.nano.batches import Batches
from workbench.nano.checkpoint import load_average
from workbench.nano.distill import Distillation, distill, student_sigmas
from workbench.nano.model import Denoiser
from workbench.nano.optimizers import ConvolutionMuon
from workbench.nano.parallel import Worker, run_workers
from workbench.nano.pool import Bucket, examples
from workbench.nano.render import render
from workbench.nano.scenes import sample_scene
from workbench.nano.times import gaps
from workbench.nano.train import train
from workbench.nano.train_vae import build_vae, deepened, measure_statistics, patchify, reconstruction_loss
from workbench.nano.train_vae import train as train_vae
from workbench.nano.views import contrast, sample_views, to_model

VAE: dict[str, Any] = {
    "latent_channels": 4,
    "block_out_channels": [8, 8, 8, 8],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "batch_pixels": 2 * 96 * 96,
    "crop": 32,
    "whole_pictures": 0.5,
    "words": 0.4,
    "random_colours": 0.4,
    "edge_weight": 4.0,
    "noise": 0.1,
    "kl_weight": 1e-4,
    "steps": 2,
    "warmup_steps": 1,
    "decay_steps": 1,
    "learning_rate": 2e-3,
    "save_every": 100,
    "statistics_scenes": 32,
}


def recipe(steps: int) -> dict[str, Any]:
    """A recipe of `steps` steps whose every part is as small as it gets."""
    return {
        "seed": 0,
        "vae": VAE,
        "text_encoder": {"width": 24, "heads": 2, "max_sequence_length": 32},
        "transformer": {
            "width": 32,
            "heads": 2,
            "double_blocks": 1,
            "single_blocks": 1,
            "mlp_ratio": 2.0,
            "rope_dims": [4, 4, 4, 4],
            "rope_theta": 100,
        },
        "training": {
            "weight_decay": 0.01,
            "warmup_steps": 2,
            "decay_steps": 2,
            "ema_decay": 0.9,
            "prompt_dropout": 0.1,
            "timestep_mean": 0.3,
            "shift": 2.0,
            "checkpoint_every": 3,
            "steps": steps,
            "muon": 2e-3,
            "adamw": 1e-3,
            "mixture": [
                {"width": 96, "height": 96, "references": 0, "examples": 32, "batch_size": 4, "share": 2},
                {"width": 128, "height": 96, "references": 2, "examples": 10, "batch_size": 4, "share": 1},
            ],
        },
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with an untrained autoencoder."""
    torch.manual_seed(0)
    vae = build_vae(VAE).eval()
    measure_statistics(vae, VAE["statistics_scenes"], 0, "cpu")
    vae.save_pretrained(tmp_path / "vae")
    return tmp_path


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_file(run / "checkpoint-0-of-1" / "state.safetensors")
    return state


def test_a_resumed_run_equals_an_uninterrupted_one(run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(run / "vae", other / "vae")
    train(Worker(), recipe(8), run, device="cpu")
    for _ in range(8):
        train(Worker(), recipe(8), other, device="cpu", stop_after=0.0)  # leaves after one step
    straight, resumed = weights(run), weights(other)
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_two_workers_learn_what_one_learns(run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("two")
    shutil.copytree(run / "vae", other / "vae")
    train(Worker(), recipe(6), run, device="cpu")
    run_workers(2, partial(train, device="cpu"), recipe(6), other)
    for name in ("96x96-0", "128x96-2"):  # the workers make each half of a pool
        made, alone = (np.load(folder / "pools" / name / "latents.npy") for folder in (other, run))
        assert np.isfinite(made).all()
        # One thread and several may sum in another order; half precision keeps three digits.
        np.testing.assert_allclose(made.astype(np.float32), alone.astype(np.float32), rtol=1e-2, atol=1e-2)
    one, two = weights(run), load_file(other / "checkpoint-0-of-2" / "state.safetensors")
    for name in one:
        if name.startswith("model/"):
            torch.testing.assert_close(two[name], one[name], rtol=1e-2, atol=1e-3)


def test_the_result_is_an_ordinary_pipeline_and_learns(run: Path) -> None:
    train(Worker(), recipe(100), run, device="cpu")
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert np.mean([record["loss"] for record in records[-3:]]) < records[0]["loss"]
    texts = [path.read_text() for path in (run / "pipeline").rglob("*.json")]
    assert not [text for text in texts if str(run) in text]  # what is published names no folder of the machine
    pipe = Flux2KleinPipeline.from_pretrained(run / "pipeline")
    picture = pipe(
        prompt="a red circle",
        width=64,
        height=64,
        num_inference_steps=1,
        max_sequence_length=32,
        text_encoder_out_layers=(1, 2, 3),
    ).images[0]
    assert picture.size == (64, 64)


def test_the_autoencoder_script_learns_and_measures_its_latents(tmp_path: Path) -> None:
    config = VAE | {"steps": 150, "decay_steps": 75, "learning_rate": 3e-2, "batch_pixels": 96 * 96}
    torch.manual_seed(0)
    untrained = build_vae(config)
    train_vae(Worker(), config, 0, tmp_path, device="cpu")
    trained = AutoencoderKLFlux2.from_pretrained(tmp_path / "vae")
    pictures = sample_views(Random(7), config, 1.0)
    with torch.no_grad():
        before, after = (reconstruction_loss(vae, pictures, config)[1] for vae in (untrained, trained))
        latents = patchify(trained.encode(to_model(whole_words(64))).latent_dist.mode())
    assert after < 0.5 * before
    assert not torch.allclose(trained.bn.running_var, untrained.bn.running_var)
    spread = (latents - trained.bn.running_mean[:, None, None]) / trained.bn.running_var[:, None, None].sqrt()
    assert 0.3 < spread.std() < 3


def whole_words(count: int) -> NDArray[np.uint8]:
    """Pictures of words, (count, 128, 128, 3)."""
    return np.stack([render(sample_scene(Random(number), kind="word")) for number in range(count)])


def test_workers_of_the_autoencoder_script_share_one_model(tmp_path: Path) -> None:
    run_workers(2, partial(train_vae, device="cpu"), VAE, 0, tmp_path)
    again = tmp_path / "again"
    run_workers(2, partial(train_vae, device="cpu"), VAE, 0, again)
    alone = tmp_path / "alone"  # sees what the first of the two sees, and nothing of the second
    train_vae(Worker(), VAE | {"batch_pixels": VAE["batch_pixels"] // 2}, 0, alone, device="cpu")
    paths = [folder / "vae" / "diffusion_pytorch_model.safetensors" for folder in (tmp_path, again, alone)]
    one, two, half = (load_file(path) for path in paths)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert max((one[name] - half[name]).abs().max() for name in one if not name.startswith("bn.")) > 1e-4


def test_a_resumed_autoencoder_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    for _ in range(3):
        train_vae(Worker(), VAE | {"steps": 3}, 0, tmp_path / "parts", device="cpu", stop_after=0.0)
    train_vae(Worker(), VAE | {"steps": 3}, 0, tmp_path / "whole", device="cpu")
    parts, whole = (
        load_file(tmp_path / name / "vae" / "diffusion_pytorch_model.safetensors") for name in ("parts", "whole")
    )
    assert all(torch.equal(parts[name], whole[name]) for name in whole)
    assert not (tmp_path / "parts" / "vae.partial").exists()


def test_a_deeper_autoencoder_begins_as_the_shallower_one() -> None:
    torch.manual_seed(0)
    shallow = build_vae(VAE).eval()
    deep = deepened(shallow, VAE | {"layers_per_block": 2}).eval()
    assert sum(p.numel() for p in deep.parameters()) > sum(p.numel() for p in shallow.parameters())
    pictures = to_model(whole_words(2))
    with torch.no_grad():
        torch.testing.assert_close(deep(pictures).sample, shallow(pictures).sample)
    with pytest.raises(ValueError, match="does not fit the recipe"):
        deepened(deep, VAE)


def test_views_are_crops_or_whole_pictures_of_one_shape_and_a_repeatable_draw() -> None:
    shapes = set()
    for number in range(12):
        views, again = (sample_views(Random(number), VAE, 0.5) for _ in range(2))
        assert torch.equal(views, again)
        assert views.abs().max() <= 1
        shapes.add(views.shape[-1])
    assert 32 in shapes
    assert len(shapes) > 1


def test_contrast_is_high_at_edges_and_nil_in_flat_colour() -> None:
    picture = torch.full((1, 3, 8, 8), -1.0)
    picture[..., 4:] = 1.0
    assert torch.equal(contrast(picture)[0, 0, 0], torch.tensor([0.0, 0, 0, 1, 1, 0, 0, 0]))


def test_muon_moves_every_weight_of_a_convolutional_network() -> None:
    torch.manual_seed(0)
    vae = build_vae(VAE).to(memory_format=torch.channels_last)
    before = {name: value.clone() for name, value in vae.named_parameters()}
    optimizer = ConvolutionMuon(vae, weight_decay=0.0)
    loss, _ = reconstruction_loss(vae, sample_views(Random(0), VAE, 1.0), VAE)
    loss.backward()
    optimizer.step(1e-2)
    still = [name for name, value in vae.named_parameters() if torch.equal(value, before[name])]
    assert still == []


def test_a_student_keeps_the_text_encoder_and_nears_the_walk_of_its_teacher(
    run: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    train(Worker(), recipe(20), run, device="cpu")
    out = tmp_path_factory.mktemp("student")
    config = recipe(40) | {"distillation": {"steps": 4, "substeps": 2, "guidance_scale": 3.0}}
    distill(Worker(), config, out, base=run, device="cpu")
    before, after = weights(run), weights(out)
    moved = {name.split(".")[0] for name in before if "average/" in name and not torch.equal(before[name], after[name])}
    assert moved == {"average/transformer"}
    assert Flux2KleinPipeline.from_pretrained(out / "pipeline").config.is_distilled
    teacher, student = (Denoiser(config, VAE["latent_channels"]) for _ in range(2))
    load_average(run / "checkpoint-0-of-1", teacher)
    load_average(out / "checkpoint-0-of-1", student)
    batches = Batches(run, AutoencoderKLFlux2.from_pretrained(run / "vae"), config, device="cpu", worker=Worker())
    task = Distillation(teacher, batches.empty, shift=2.0, **config["distillation"])
    bucket, batch = batches.at(1)
    with torch.no_grad():
        assert task.loss(student, bucket, batch) < task.loss(teacher, bucket, batch)


def test_the_teacher_walks_with_guidance_from_one_step_of_the_student_to_the_next(run: Path) -> None:
    """With one substep the target is the guided velocity itself: the student that equals it has no loss."""
    vae = AutoencoderKLFlux2.from_pretrained(run / "vae")
    train(Worker(), recipe(20), run, device="cpu")
    teacher = Denoiser(recipe(20), VAE["latent_channels"]).requires_grad_(False)
    load_average(run / "checkpoint-0-of-1", teacher)
    batches = Batches(run, vae, recipe(20), device="cpu", worker=Worker())
    task = partial(Distillation, teacher, batches.empty, steps=4, substeps=1, shift=2.0)
    plain, guided = task(guidance_scale=1.0), task(guidance_scale=5.0)
    bucket, batch = batches.at(3)
    assert plain.loss(teacher, bucket, batch).item() < 1e-9
    assert guided.loss(teacher, bucket, batch).item() > 1e-6


def test_the_student_steps_where_the_pipeline_steps() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=2.0, use_dynamic_shifting=False)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / 4, 4))
    torch.testing.assert_close(student_sigmas(4, 2.0), scheduler.sigmas)


def test_a_chunk_of_a_pool_is_the_same_whoever_makes_it() -> None:
    bucket = Bucket(width=96, height=96, references=1, examples=8, batch_size=2, share=1.0)
    first, again = (next(examples(bucket, Random("0/chunk"))) for _ in range(2))
    assert first == again
    assert len(first[1]) == 2


def test_prompts_lower_the_loss_most_where_there_is_most_noise(run: Path) -> None:
    """A prompt names the background, which the eye can read through a little noise and not through all of it."""
    config = recipe(240)
    config["training"]["timestep_mean"] = 1.4
    train(Worker(), config, run, device="cpu")
    config["training"]["prompt_dropout"] = 0.0
    model = Denoiser(config, VAE["latent_channels"]).eval()
    load_average(run / "checkpoint-0-of-1", model)
    batches = Batches(run, AutoencoderKLFlux2.from_pretrained(run / "vae"), config, device="cpu", worker=Worker())
    found = {(gap.bucket, gap.time): gap.free - gap.asked for gap in gaps(model, batches, steps=range(241, 271))}
    assert {name for name, _ in found} == {"96x96-0", "128x96-2"}
    assert found["96x96-0", 0.97] > 2 * found["96x96-0", 0.3] > 0


def test_a_bucket_of_kinds_has_those_and_a_pool_of_its_own() -> None:
    line: dict[str, Any] = {"width": 96, "height": 96, "examples": 8, "batch_size": 2, "share": 1.0}
    edits = Bucket(**line, references=1, kinds=["recolour", "remove"])
    plain = Bucket(**line, references=0, kinds=["count"])
    asked = {prompt.split()[0] for prompt, _ in islice(examples(edits, Random(0)), 40)}
    assert asked == {"make", "remove"}
    assert {scenes[0].kind for _, scenes in islice(examples(plain, Random(0)), 40)} == {"count"}
    assert len({edits.name, plain.name, Bucket(**line, references=1).name}) == 3


@pytest.mark.parametrize(("references", "kind"), [(0, "recolour"), (1, "compose-pair"), (1, "count"), (0, "poem")])
def test_a_kind_of_another_number_of_references_is_refused(references: int, kind: str) -> None:
    with pytest.raises(ValueError, match=f"'{kind}' is no kind with {references} references"):
        Bucket(96, 96, references, examples=8, batch_size=2, share=1.0, kinds=[kind])


def test_a_pool_of_another_size_is_refused(run: Path) -> None:
    vae = AutoencoderKLFlux2.from_pretrained(run / "vae")
    Batches(run, vae, recipe(1), device="cpu", worker=Worker())
    config = recipe(1)
    config["training"]["mixture"][0]["examples"] = 33
    with pytest.raises(ValueError, match="holds 32 examples and the recipe asks for 33"):
        Batches(run, vae, config, device="cpu", worker=Worker())


def test_times_of_a_batch_are_spread_evenly_and_lean_towards_the_mean(run: Path) -> None:
    vae = AutoencoderKLFlux2.from_pretrained(run / "vae")
    config = recipe(1)
    config["training"]["timestep_mean"] = 1.4
    config["training"]["mixture"][0]["batch_size"] = 100
    batches = Batches(run, vae, config, device="cpu", worker=Worker())
    _, batch = next(found for found in map(batches.at, range(50)) if found[0].references == 0)
    # Every hundredth of the distribution holds exactly one time.
    quantiles = torch.special.ndtr(torch.logit(batch["time"].double()) - 1.4)
    assert (quantiles * 100).floor().int().sort().values.tolist() == list(range(100))
