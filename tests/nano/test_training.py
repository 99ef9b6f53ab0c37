"""The training script on a miniature recipe: it learns, and a resumed run equals an uninterrupted one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import Flux2KleinPipeline
from safetensors.torch import load_file

from workbench.nano.parallel import Worker, run_workers
from workbench.nano.train import train
from workbench.nano.train_vae import build_vae, measure_statistics, polish_decoder
from workbench.nano.train_vae import train as train_vae

VAE: dict[str, Any] = {
    "latent_channels": 4,
    "block_out_channels": [8, 8, 8, 8],
    "norm_num_groups": 4,
    "crop": 32,
    "batch_size": 2,
    "steps": 2,
    "learning_rate": 1e-3,
    "kl_weight": 1e-4,
    "decoder_steps": 2,
    "decoder_learning_rate": 1e-3,
    "decoder_pixels": 160 * 160,
    "decoder_noise": 0.2,
    "statistics_scenes": 32,
}


def recipe(steps: int) -> dict[str, Any]:
    """A recipe of `steps` steps whose every part is as small as it gets."""
    return {
        "seed": 0,
        "vae": VAE,
        "text_encoder": {"width": 24, "heads": 2, "max_sequence_length": 24},
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
            "stages": [
                {"size": 64, "scenes": 64, "batch_size": 4, "steps": 3, "muon": 2e-3, "adamw": 1e-3},
                {"size": 128, "scenes": 64, "batch_size": 4, "steps": steps - 3, "muon": 2e-3, "adamw": 1e-3},
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
    import shutil

    other = tmp_path_factory.mktemp("other")
    shutil.copytree(run / "vae", other / "vae")
    train(Worker(), recipe(8), run, "cpu")
    train(Worker(), recipe(8), other, "cpu", stop_after=0.0)  # leaves after one step
    for _ in range(7):
        train(Worker(), recipe(8), other, "cpu", stop_after=0.0)
    straight, resumed = weights(run), weights(other)
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_two_workers_learn_what_one_learns(run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    import shutil

    other = tmp_path_factory.mktemp("two")
    shutil.copytree(run / "vae", other / "vae")
    train(Worker(), recipe(6), run, "cpu")
    run_workers(2, train, recipe(6), other, "cpu", None)
    for size in (64, 128):  # one worker makes the pool, the other waits for it
        made, alone = (np.load(folder / f"pool-{size}" / "latents.npy") for folder in (other, run))
        assert np.isfinite(made).all()
        # One thread and several may sum in another order; half precision keeps three digits.
        np.testing.assert_allclose(made.astype(np.float32), alone.astype(np.float32), rtol=1e-2, atol=1e-2)
    one, two = weights(run), load_file(other / "checkpoint-0-of-2" / "state.safetensors")
    for name in one:
        if name.startswith("model/"):
            torch.testing.assert_close(two[name], one[name], rtol=1e-2, atol=1e-3)


def test_the_result_is_an_ordinary_pipeline_and_learns(run: Path) -> None:
    train(Worker(), recipe(100), run, "cpu")
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert records[-1]["loss"] < records[0]["loss"]
    pipe = Flux2KleinPipeline.from_pretrained(run / "pipeline")
    picture = pipe(
        prompt="a red circle",
        width=64,
        height=64,
        num_inference_steps=1,
        max_sequence_length=24,
        text_encoder_out_layers=(1, 2, 3),
    ).images[0]
    assert picture.size == (64, 64)


def test_the_autoencoder_script_leaves_latents_alone_in_its_second_phase(tmp_path: Path) -> None:
    train_vae(VAE, 0, tmp_path, "cpu")
    polish_decoder(VAE, 0, tmp_path, "cpu")
    before = load_file(tmp_path / "vae" / "diffusion_pytorch_model.safetensors")
    after = load_file(tmp_path / "vae-polished" / "diffusion_pytorch_model.safetensors")
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}


def test_the_others_wait_until_the_leader_has_made_what_all_read(tmp_path: Path) -> None:
    run_workers(2, make_together, tmp_path)
    assert (tmp_path / "made").read_text() == "0"
    assert (tmp_path / "seen-1").read_text() == "0"


def make_together(worker: Worker, folder: Path) -> None:
    """Whoever comes first writes its number; the result says who that was, and what the others found."""

    def make() -> str:
        if not (folder / "made").exists():
            (folder / "made").write_text(str(worker.number))
        return (folder / "made").read_text()

    (folder / f"seen-{worker.number}").write_text(worker.leader_first(make))
