"""Put a finished training run together as the folder that ships: averaged weights, autoencoder, its recipe.

python -m workbench.nano.publish --run runs/nano --to workbench/nano/weights/klein-nano-base
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import yaml
from diffusers.models import AutoencoderKLFlux2

from workbench.nano.checkpoint import load_average
from workbench.nano.loop import export
from workbench.nano.model import Denoiser


def publish(run: Path, to: Path, *, vae: Path | None = None) -> None:
    """Write the model of `run` to the folder `to`, replacing what is there, with `recipe.yaml` and `training.json`.

    Args:
        run: the `--out` folder of a training script.
        to: a folder of its own; its parent must exist.
        vae: the autoencoder's folder; default: that of the run.

    Raises:
        FileNotFoundError: the run has no checkpoint or no autoencoder yet.
    """
    config = yaml.safe_load((run / "recipe.yaml").read_text())
    autoencoder = AutoencoderKLFlux2.from_pretrained(vae or run / "vae")
    model = Denoiser(config, autoencoder.config.latent_channels)
    (checkpoint,) = sorted(run.glob("checkpoint-0-of-*"))
    step = load_average(checkpoint, model)
    fresh = to.with_name(f"{to.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    export(config, model, autoencoder, fresh, is_distilled="distillation" in config)
    shutil.copy(run / "recipe.yaml", fresh / "recipe.yaml")
    (fresh / "training.json").write_text(json.dumps({"step": step, "curve": _curve(run / "log.jsonl", step)}, indent=1))
    for path in fresh.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(to, ignore_errors=True)
    fresh.replace(to)


def _curve(log: Path, last: int) -> list[dict[str, float | str]]:
    """One record in three of the training log; where a run went back to a checkpoint, the later try counts."""
    records = {record["step"]: record for record in map(json.loads, log.read_text().splitlines())}
    steps = sorted(step for step in records if step <= last)
    return [{key: records[step][key] for key in ("step", "bucket", "loss")} for step in steps[::3]]


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--vae", type=Path, help="the autoencoder, where the run has none of its own")
    args = parser.parse_args()
    publish(args.run, args.to, vae=args.vae)


if __name__ == "__main__":
    main()
