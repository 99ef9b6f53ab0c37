"""The frozen model under an adapter: its transformer, and how it reads text and pictures.

Everything comes from the catalog and the engine's own functions, so that text features and latents are those of inference,
bit for bit. The encoders are dropped from memory once their features are cached.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from finetune.batch import Grid, Text
from finetune.config import TrainConfig, TrainConfigError
from finetune.families import TRAIN_FAMILIES, TrainFamily
from workbench.models.catalog import ModelCatalog
from workbench.models.device import choose_device, default_precision
from workbench.models.families import Family
from workbench.models.loading import DTYPES
from workbench.recipe import Precision

if TYPE_CHECKING:
    from workbench.models.catalog import Model


@dataclass
class Encoders:
    """How text and pictures become tensors, and what the results depend on."""

    text: Callable[[str], tuple[Text, str]]  # features of one caption (1, L, D), and a warning or ''
    picture: Callable[[Image.Image], tuple[Tensor, Grid]]  # normalised tokens (1, N, C) and their rows and columns
    text_key: str  # of all that decides text features besides the text
    picture_key: str


@dataclass
class Base:
    """A loaded base model."""

    name: str
    family: TrainFamily
    row: Family  # sizes and lengths
    fingerprint: str
    is_distilled: bool
    precision: Precision
    device: torch.device
    transformer: Any
    encoders: Encoders | None

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the frozen weights."""
        return DTYPES[self.precision]

    def drop_encoders(self) -> None:
        """Free the text encoder and the VAE."""
        self.encoders = None
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


@dataclass(frozen=True)
class BaseFacts:
    """What is known of a base model from its small files alone."""

    model: Model  # its row in the catalog
    family: TrainFamily

    @property
    def row(self) -> Family:
        """Sizes and lengths."""
        return self.model.family

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.model.path


def find_base(name: str, catalog: ModelCatalog) -> BaseFacts:
    """Which model `name` is, without loading it.

    Raises:
        ModelError: it is unknown or cannot be used.
        TrainConfigError: its architecture cannot be trained.
    """
    model = catalog.model(name)
    pipeline = model.family.pipeline
    family = next((row for row in TRAIN_FAMILIES.values() if pipeline in row.pipelines), None)
    if family is None:
        known = ", ".join(row.title for row in TRAIN_FAMILIES.values())
        raise TrainConfigError(f"The model {name} is {model.family.title}, which cannot be trained.", f"Train {known}.")
    return BaseFacts(model, family)


def check_base(facts: BaseFacts, config: TrainConfig) -> None:
    """Refuse a base that should not be trained.

    Raises:
        TrainConfigError: a distilled checkpoint.
    """
    if facts.model.is_distilled and not (config.allow_distilled and facts.family.trains_distilled):
        anyway = " To train it all the same, set allow_distilled." if facts.family.trains_distilled else ""
        raise TrainConfigError(
            f"The model {facts.model.name} is step-distilled: trained further on its own it loses what makes it fast, and "
            "its pictures turn grey.",
            f"{facts.family.remedy}{anyway}",
        )


def choose_precision(config: TrainConfig, device: torch.device) -> Precision:
    """The precision of the frozen weights.

    Raises:
        TrainConfigError: bfloat16 on a GPU that lacks it.
    """
    precision: Precision = default_precision(device.type) if config.precision == "auto" else config.precision
    if precision == "bfloat16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise TrainConfigError("This GPU has no bfloat16.", "Set precision: float32.")
    return precision


def training_device(config: TrainConfig, local_rank: int = 0) -> torch.device:
    """The device of this process."""
    name = choose_device(config.device)
    if name == "cuda":
        return torch.device("cuda", local_rank)
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise TrainConfigError("There is no CUDA device here.", "Set device: cpu.")
    return torch.device(name)


def load_base(facts: BaseFacts, config: TrainConfig, device: torch.device) -> Base:
    """Load the model that is trained.

    Raises:
        ModelError: its folder cannot be loaded.
        TrainConfigError: it holds values that are not finite.
    """
    precision = choose_precision(config, device)
    base = _load(facts, precision, device)
    for name, parameter in base.transformer.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise TrainConfigError(f"The weights {name} of {base.name} are not finite.", "Download the model again.")
    base.transformer.train()  # blocks recompute only in training mode; there is no dropout in them
    return base


def _load(facts: BaseFacts, precision: Precision, device: torch.device) -> Base:
    from workbench.engine.conditions import encode_picture
    from workbench.engine.text import encode, tokenize, truncation_warning
    from workbench.models.loading import load

    model = facts.model
    parts = load(model, precision, device)
    length = model.max_sequence_length

    def read_text(caption: str) -> tuple[Text, str]:
        tokens = tokenize(parts, caption, length)
        features = encode(parts, tokens)
        return Text(features.embeds, features.pooled), truncation_warning(tokens, "caption")

    def read_picture(picture: Image.Image) -> tuple[Tensor, Grid]:
        side = parts.patch_pixels
        return encode_picture(parts, picture), (picture.height // side, picture.width // side)

    shared = (precision, device.type, torch.__version__)
    texts = [name for name in model.family.components if name.startswith(("text_encoder", "tokenizer"))]
    text_key = (model.component_fingerprint(*texts), model.family.text_layers, length, *shared)
    encoders = Encoders(read_text, read_picture, repr(text_key), repr((model.component_fingerprint("vae"), *shared)))
    return Base(
        model.name, facts.family, model.family, model.fingerprint, model.is_distilled, precision, device,
        parts.transformer, encoders,
    )  # fmt: skip
