"""What the tests of the trainer share: a few pictures, and configurations of runs that take a second."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor

from finetune.config import TrainConfig
from finetune.execute import execute
from finetune.run import create_run
from finetune.runfolder import RunFolder
from workbench.models import ModelCatalog

COLOURS = ("red", "green", "blue", "yellow", "purple", "cyan")


def picture(seed: int, size: tuple[int, int] = (160, 128)) -> Image.Image:
    """Soft noise: every seed looks different, and the same in every size."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def put(path: Path, image: Image.Image, caption: str | None = None, **options: object) -> Path:
    """Save a picture, and its caption beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)  # type: ignore[arg-type]
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def write_pictures(folder: Path, *, pairs: int = 0, count: int = 6) -> Path:
    """Pictures of 64 px with captions; with `pairs`, as many references each."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(count):
        colour = COLOURS[number % len(COLOURS)]
        values = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        values[16:48, 16:48] = ImageColor.getrgb(colour)
        Image.fromarray(values).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"a {colour} square", encoding="utf-8")
        for place in range(1, pairs + 1):
            control = folder / ("control" if place == 1 else f"control_{place}")
            control.mkdir(exist_ok=True)
            Image.fromarray(np.roll(values, place, axis=0)).save(control / f"{number}.png")
    return folder


def small(data: Path, /, **changes: Any) -> TrainConfig:
    """Twelve steps at 64 px on the tiny model, with a checkpoint every other step."""
    values: dict[str, Any] = {
        "model": "tiny-base",
        "data": {"path": str(data), "resolutions": [64], "held_out": 2, "trigger": "wug"},
        "name": "small",
        "adapter": {"rank": 4},
        "optimiser": {"learning_rate": 1e-3},
        "steps": 12,
        "batch_size": 2,
        "checkpoint_every": 2,
        "held_out": {"every": 6, "levels": 4},
        "log_every": 2,
        "device": "cpu",
    }
    return TrainConfig.parse(values | changes)


def run(config: TrainConfig, catalog: ModelCatalog) -> RunFolder:
    """Train a new run to its end in this process."""
    folder = create_run(config, catalog.home)
    execute(folder, catalog)
    return folder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def losses(folder: RunFolder) -> list[tuple[int, float]]:
    return [(record["step"], record["loss"]) for record in folder.records() if record["event"] == "step"]
