"""Weights in memory: diffusers' and transformers' model classes, loaded from a local folder and owned in one place.

No pipeline is built. Which classes a model has is said by its family's row; how each is read, by `workbench.models.parts`.
Nothing here reaches the network.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import ModelError
from workbench.models.adapters import AdapterMerger
from workbench.models.model import Model
from workbench.models.parts import load_part
from workbench.recipe import Precision

DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}

log = logging.getLogger(__name__)


@dataclass
class Components:
    """The loaded parts of one model, at one precision, on one device."""

    model: Model
    precision: Precision
    device: torch.device
    transformer: nn.Module
    vae: Any  # an autoencoder of diffusers, which adds decode, encode and config to nn.Module
    text_encoder: nn.Module
    tokenizer: Any
    scheduler_config: dict[str, Any]
    adapters: AdapterMerger
    preview_map: Tensor | None = field(default=None)  # fitted when first asked for
    more: dict[str, Any] = field(default_factory=dict)  # further components by folder, such as text_encoder_2
    companions: dict[str, Any] = field(default_factory=dict, repr=False)  # further models beside it, such as Redux

    @property
    def dtype(self) -> torch.dtype:
        """The arithmetic of all parts."""
        return DTYPES[self.precision]

    @property
    def text_device(self) -> torch.device:
        """Where the text encoder is: `device`, or the CPU when memory was short."""
        return next(self.text_encoder.parameters()).device

    @property
    def text_encoders(self) -> list[nn.Module]:
        """All of them."""
        return [self.text_encoder, *(part for name, part in self.more.items() if name.startswith("text_encoder"))]

    @property
    def latent_channels(self) -> int:
        """Channels of the packed latents: the VAE's, times four for a 2 x 2 patch."""
        return 4 * int(self.vae.config.latent_channels)

    @property
    def patch_pixels(self) -> int:
        """Side of the square of pixels that one picture token stands for."""
        return int(2 ** len(self.vae.config.block_out_channels))


class Registry:
    """The one owner of weights: at most one model at a time, dropped before another is loaded."""

    def __init__(self) -> None:
        self._loaded: Components | None = None

    def get(
        self, model: Model, precision: Precision, device: torch.device, *, text_on_host: bool = False
    ) -> Components:
        """The components of `model`, loaded now if they are not in memory.

        `text_on_host` leaves the text encoder on the CPU when the model is loaded now.

        Raises:
            ModelError: the folder cannot be loaded.
            torch.OutOfMemoryError: the device has no room for the weights.
        """
        have = self._loaded
        if have and (have.model.fingerprint, have.precision, have.device) == (model.fingerprint, precision, device):
            return have
        # `have` must not keep the old weights alive while the new ones arrive.
        del have
        self.unload()
        self._loaded = load(model, precision, device, text_on_host=text_on_host)
        return self._loaded

    def holds(self, model: Model, precision: Precision) -> bool:
        """Whether these weights are in memory."""
        have = self._loaded
        return have is not None and (have.model.fingerprint, have.precision) == (model.fingerprint, precision)

    def economise(self, *, text_on_host: bool) -> None:
        """Return cached memory to the device; with `text_on_host` move the text encoder to the CPU."""
        if self._loaded and text_on_host:
            for encoder in self._loaded.text_encoders:
                encoder.to("cpu")
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def unload(self) -> None:
        """Drop the weights in memory."""
        self._loaded = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def load(model: Model, precision: Precision, device: torch.device, *, text_on_host: bool = False) -> Components:
    """Load every component of `model`.

    The VAE is put into channels_last memory format on the CPU, where its convolutions run about a third faster so.

    Raises:
        ModelError: a component does not fit its class.
        torch.OutOfMemoryError: the device has no room.
    """
    log.info("loading %s as %s on %s", model.name, precision, device)
    loaded: dict[str, Any] = {}
    for name, cls in model.family.components.items():
        with _part(model.path / name):
            loaded[name] = load_part(model.path / name, cls, DTYPES[precision], model.family)
    for name, part in loaded.items():
        if isinstance(part, nn.Module):
            part.requires_grad_(requires_grad=False).eval()
            part.to("cpu" if name.startswith("text_encoder") and text_on_host else device)
    if device.type == "cpu":
        loaded["vae"].to(memory_format=torch.channels_last)
    first = {name: loaded.pop(name) for name in ("transformer", "vae", "text_encoder", "tokenizer")}
    components = Components(
        model, precision, device, **first, scheduler_config=loaded.pop("scheduler"),
        adapters=AdapterMerger(first["transformer"]), more=loaded,
    )  # fmt: skip
    if components.patch_pixels != model.family.size_multiple:
        raise ModelError(
            f"The VAE of {model.name} stands for {components.patch_pixels} pixels a token, "
            f"its family for {model.family.size_multiple}.",
            "Check that the VAE belongs to the model.",
        )
    return components


@contextmanager
def _part(folder: Path) -> Iterator[None]:
    """Turn the loaders' errors into one sentence that names the component, and keep their progress bars to themselves.

    Their warnings are silenced too: the layers and the head that are left out are left out on purpose.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    verbosity = [library.get_verbosity() for library in libraries]
    bars = [library.is_progress_bar_enabled() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"The model component {folder} cannot be loaded: {reason}.",
            "Check that the folder is complete and belongs to this model.",
        ) from error
    finally:
        for library, level, bar in zip(libraries, verbosity, bars, strict=True):
            library.set_verbosity(level)
            if bar:
                library.enable_progress_bar()
