"""The frozen model under an adapter: its transformer, and how it reads text and pictures.

For models of the catalog everything comes from the engine's own functions, so that text features and reference latents
are bit-equal to inference. The encoders are dropped from memory once their features are cached.
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
from finetune.quantise import check_quant, quantise
from finetune.recompute import recompute_blocks
from workbench.errors import nearest
from workbench.models.catalog import ModelCatalog
from workbench.models.checkpoint import read_json
from workbench.models.device import choose_device, default_precision
from workbench.models.families import FAMILIES, Family
from workbench.models.fingerprint import FileHashes
from workbench.models.loading import DTYPES
from workbench.recipe import Precision

if TYPE_CHECKING:
    from workbench.models.catalog import Model

INDEXES = ("model_index.json", "modular_model_index.json")


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

    name: str
    family: TrainFamily
    row: Family
    is_distilled: bool
    model: Model | None  # its row in the catalog, when the engine can draw with it
    path: Path
    hashes: FileHashes


def find_base(name: str, catalog: ModelCatalog) -> BaseFacts:
    """Which model `name` is, without loading it.

    Raises:
        ModelError: it is unknown or cannot be used.
        TrainConfigError: its architecture cannot be trained.
    """
    places = [place / name for place in (catalog.extra, catalog.home / "models") if place] + [Path(name).expanduser()]
    indexes = [place / each for place in places for each in INDEXES if (place / each).is_file()]
    pipeline = str(read_json(indexes[0]).get("_class_name", "")) if indexes else "Flux2KleinPipeline"
    family = next((row for row in TRAIN_FAMILIES.values() if row.pipeline == pipeline), None)
    if family is None:
        raise TrainConfigError(
            f"Models of {pipeline} cannot be trained.",
            nearest(pipeline, [row.pipeline for row in TRAIN_FAMILIES.values()]),
        )
    hashes = FileHashes(catalog.home / "cache")
    if pipeline in {row.pipeline for row in FAMILIES.values()}:  # the engine draws with it, and encodes for us
        model = catalog.model(name)
        return BaseFacts(model.name, family, model.family, model.is_distilled, model, model.path, hashes)
    folder = indexes[0].parent
    distilled = family.is_distilled(read_json(folder / "transformer" / "config.json"))
    return BaseFacts(folder.name, family, family.row(), distilled, None, folder, hashes)


def check_base(facts: BaseFacts, config: TrainConfig) -> None:
    """Refuse a base that should not be trained.

    Raises:
        TrainConfigError: a distilled checkpoint, or fewer bits without their package.
    """
    check_quant(config)
    if facts.is_distilled and not config.allow_distilled:
        raise TrainConfigError(
            f"The model {facts.name} is step-distilled: trained further on its own it loses what makes it fast, and its "
            "pictures turn grey.",
            f"{facts.family.remedy} To train it all the same, set allow_distilled.",
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
    if facts.model is None:
        from finetune.encoders import load_other

        base = load_other(facts, precision, device, facts.hashes)
    else:
        base = _from_catalog(facts, facts.model, precision, device)
    for name, parameter in base.transformer.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise TrainConfigError(f"The weights {name} of {facts.name} are not finite.", "Download the model again.")
    quantise(base.transformer, facts.family, config.quant, base.dtype)
    base.transformer.train()  # blocks recompute only in training mode; there is no dropout in them
    recompute_blocks(base.transformer, config.gradient_checkpointing)
    return base


def _from_catalog(facts: BaseFacts, model: Model, precision: Precision, device: torch.device) -> Base:
    from workbench.engine.conditions import encode_picture
    from workbench.engine.text import encode, tokenize, truncation_warning
    from workbench.models.loading import load

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
