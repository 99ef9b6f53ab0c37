"""Weights from a local folder into memory: diffusers' and transformers' model classes; `registry` owns them.

No pipeline is built. Which classes a model has is said by its family's row; how each is read, by `workbench.models.parts`.
Nothing here reaches the network.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from workbench.models.quantise import quantise
from workbench.recipe import Precision, Quantisation
from workbench.recipe.known import packed_in

DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}

log = logging.getLogger(__name__)


class Late(Mapping[str, Any]):
    """Components by name, each loaded when it is first asked for."""

    def __init__(self, names: Sequence[str], part: Callable[[str], Any]) -> None:
        self._names, self._part = tuple(names), part

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._part(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass
class Components:
    """The parts of one model, at one precision, on one device; text encoders are loaded when they are first used."""

    model: Model
    precision: Precision
    device: torch.device
    transformer: nn.Module
    vae: Any  # an autoencoder of diffusers, which adds decode, encode and config to nn.Module
    tokenizer: Any
    scheduler_config: dict[str, Any]
    adapters: AdapterMerger
    more: Mapping[str, Any]  # further components by folder, such as text_encoder_2
    late: Mapping[str, Any] = field(repr=False)  # the text encoder
    quantisation: Quantisation | None = None  # of the blocks of the transformer, and of the text encoders if it says so
    text_on_host: bool = False  # whether memory was short, so that text encoders are on the CPU
    preview_map: Tensor | None = field(default=None)  # fitted when first asked for
    companions: dict[str, Any] = field(default_factory=dict, repr=False)  # further models beside it, such as Redux

    @property
    def text_encoder(self) -> nn.Module:
        """The first text encoder, loaded now if it is not in memory."""
        return self.late["text_encoder"]  # type: ignore[no-any-return]

    @property
    def dtype(self) -> torch.dtype:
        """The arithmetic of all parts."""
        return DTYPES[self.precision]

    @property
    def text_device(self) -> torch.device:
        """Where the text encoders are: `device`, or the CPU when memory was short."""
        return torch.device("cpu") if self.text_on_host else self.device

    @property
    def text_encoders(self) -> list[nn.Module]:
        """All of them."""
        return [self.text_encoder, *(self.more[name] for name in self.more if name.startswith("text_encoder"))]

    @property
    def latent_channels(self) -> int:
        """Channels of the packed latents: the VAE's, times four for a 2 x 2 patch."""
        return 4 * int(self.vae.config.latent_channels)

    @property
    def patch_pixels(self) -> int:
        """Side of the square of pixels that one picture token stands for."""
        return int(2 ** len(self.vae.config.block_out_channels))


def load(
    model: Model,
    precision: Precision,
    device: torch.device,
    *,
    text_on_host: bool = False,
    quantisation: Quantisation | None = None,
) -> Components:
    """The components of `model`, outside of any registry; its text encoders are loaded when they are first used.

    Raises:
        ModelError: a component does not fit its class.
        torch.OutOfMemoryError: the device has no room.
    """
    loaded: dict[str, Any] = {}

    def part(name: str) -> Any:
        if name not in loaded:
            host = text_on_host and name.startswith("text_encoder")
            loaded[name] = read_component(model, name, precision, torch.device("cpu") if host else device, quantisation)
        return loaded[name]

    return assemble(
        model, precision, device, part, AdapterMerger, text_on_host=text_on_host, quantisation=quantisation
    )  # fmt: skip


def assemble(
    model: Model,
    precision: Precision,
    device: torch.device,
    part: Callable[[str], Any],
    merger: Callable[[nn.Module], AdapterMerger],
    *,
    text_on_host: bool,
    quantisation: Quantisation | None,
) -> Components:
    """The components that `part` gives by name, put together.

    Args:
        model: the checkpoint.
        precision: of its arithmetic.
        device: where it computes.
        part: loads or finds a component.
        merger: makes or finds what merges adapters into the transformer.
        text_on_host: whether text encoders are to be on the CPU.
        quantisation: of the blocks of the transformer, and of the text encoders where it says so.

    Raises:
        ModelError: components that do not belong together.
    """
    own = ("transformer", "vae", "text_encoder", "tokenizer", "scheduler")
    transformer = part("transformer")
    components = Components(
        model, precision, device, transformer, part("vae"), part("tokenizer"), dict(part("scheduler")),
        adapters=merger(transformer), more=Late([name for name in model.family.components if name not in own], part),
        late=Late(["text_encoder"], part), text_on_host=text_on_host, quantisation=quantisation,
    )  # fmt: skip
    if components.patch_pixels != model.family.size_multiple:
        raise ModelError(
            f"The VAE of {model.name} stands for {components.patch_pixels} pixels a token, "
            f"its family for {model.family.size_multiple}.",
            "Check that the VAE belongs to the model.",
        )
    return components


def read_component(
    model: Model, name: str, precision: Precision, device: torch.device, quantisation: Quantisation | None = None
) -> Any:
    """One component of `model`, loaded now: a module on `device`, a tokenizer, a scheduler's configuration.

    The VAE is put into channels_last memory format on the CPU, where its convolutions run about a third faster so. What
    is quantised is so on the CPU, so that the device never holds it whole.

    Raises:
        ModelError: it does not fit its class.
        torch.OutOfMemoryError: the device has no room.
    """
    log.info("loading %s of %s as %s on %s", name, model.name, precision, device)
    with reading(model.path / name):
        value = load_part(model.path / name, model.family.components[name], DTYPES[precision], model.family)
    if not isinstance(value, nn.Module):
        return value
    value.requires_grad_(requires_grad=False).eval()
    if method := packed_in(quantisation, name):
        quantise(value, method, DTYPES[precision])
    value.to(device)
    if name == "vae" and device.type == "cpu":
        value.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return value


@contextmanager
def reading(folder: Path) -> Iterator[None]:
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
