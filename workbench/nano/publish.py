"""Put a finished training run together as the folder that ships: averaged weights, polished autoencoder, its recipe.

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
from workbench.nano.train import Denoiser, export


def publish(run: Path, to: Path) -> None:
    """Write the model of `run` to the folder `to`, replacing what is there, with `recipe.yaml` and `training.json`.

    Args:
        run: the `--out` folder of both training scripts.
        to: a folder of its own; its parent must exist.

    Raises:
        FileNotFoundError: the run has no checkpoint or no polished autoencoder yet.
    """
    config = yaml.safe_load((run / "recipe.yaml").read_text())
    vae = AutoencoderKLFlux2.from_pretrained(run / "vae-polished")
    model = Denoiser(config, vae.config.latent_channels)
    (checkpoint,) = sorted(run.glob("checkpoint-0-of-*"))
    step = load_average(checkpoint, model)
    fresh = to.with_name(f"{to.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    export(config, model, vae, fresh)
    shutil.copy(run / "recipe.yaml", fresh / "recipe.yaml")
    (fresh / "training.json").write_text(json.dumps({"step": step, "curve": _curve(run / "log.jsonl", step)}, indent=1))
    for path in fresh.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(to, ignore_errors=True)
    fresh.replace(to)


def _curve(log: Path, last: int) -> list[dict[str, float]]:
    """One record in ten of the training log; where a run went back to a checkpoint, the later try counts."""
    records = {record["step"]: record for record in map(json.loads, log.read_text().splitlines())}
    steps = sorted(step for step in records if step <= last)
    return [{key: records[step][key] for key in ("step", "size", "loss")} for step in steps[::10]]


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    args = parser.parse_args()
    publish(args.run, args.to)


if __name__ == "__main__":
    main()
