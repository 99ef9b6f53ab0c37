"""What a picture will take in memory, from configurations and headers, before anything is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from workbench.engine.memory import ACTIVATIONS, DECODER, MARGIN, decode_bytes, row_bytes
from workbench.engine.plan import Shape
from workbench.errors import ModelError, SettingsError, nearest
from workbench.models.families import FAMILIES, Checkpoint, Family, published
from workbench.models.footprint import BYTES, model_bytes
from workbench.models.model import Model
from workbench.recipe import Precision, Quantisation

_CHANNELS = 256  # of the second-finest level in the VAE's decoder of every published FLUX


@dataclass(frozen=True)
class Forecast:
    """Bytes that one picture needs."""

    precision: Precision
    quantisation: Quantisation | None
    weights: dict[str, int]  # of each component
    denoise: int  # activations of one pass of the transformer, both passes of guidance at once
    decode: int  # activations of the VAE's decoder, untiled

    @cached_property
    def text(self) -> int:
        """Weights of the text encoders, which are needed only until the prompts are encoded."""
        return sum(size for name, size in self.weights.items() if name.startswith("text_encoder"))

    @property
    def resident(self) -> int:
        """With all weights in memory."""
        return sum(self.weights.values()) + max(self.denoise, self.decode)

    @property
    def dropped(self) -> int:
        """With the text encoders dropped before the steps: the larger of reading text and drawing."""
        rest = sum(self.weights.values()) - self.text
        return rest + max(self.text, self.denoise, self.decode)

    @property
    def on_host(self) -> int:
        """With the text encoders on the CPU."""
        return sum(self.weights.values()) - self.text + max(self.denoise, self.decode)

    def choice(self, free: int) -> str:
        """What the engine will do with `free` bytes, in words."""
        if self.resident <= free * MARGIN:
            return "everything stays in memory"
        if self.dropped <= free * MARGIN:
            return "the text encoder is dropped once the prompts are encoded"
        if self.on_host <= free * MARGIN:
            return "the text encoder works on the CPU"
        return "does not fit"


def forecast(
    model: Model, precision: Precision, quantisation: Quantisation | None, size: tuple[int, int], *, references: int = 0
) -> Forecast:
    """What one picture of `model` needs.

    Args:
        model: the checkpoint.
        precision: of the arithmetic.
        quantisation: of the blocks.
        size: width and height in pixels.
        references: pictures that it looks at, each at the family's largest size.

    Raises:
        SettingsError: a model whose memory is not planned (a stock pipeline).
    """
    _check_planned(model.family, model.name)
    side = int(model.reference_pixels**0.5)
    shape = Shape(*size, model.max_sequence_length, ((side, side),) * references)
    itemsize = BYTES[precision]
    guided = model.guidance_scale > 1 and not model.embeds_guidance
    return Forecast(
        precision,
        quantisation,
        model_bytes(model, precision, quantisation),
        row_bytes(model, shape, itemsize, guided=guided),
        decode_bytes(model, shape, itemsize),
    )


def forecast_published(
    name: str, precision: Precision, quantisation: Quantisation | None, size: tuple[int, int], *, references: int = 0
) -> Forecast:
    """What one picture of a published checkpoint needs that is not here, from its row alone.

    Args:
        name: of the checkpoint or its repository.
        precision: of the arithmetic.
        quantisation: of the blocks.
        size: width and height in pixels.
        references: pictures that it looks at, each at the family's largest size.

    Raises:
        ModelError: no such row.
        SettingsError: a model whose memory is not planned (a stock pipeline).
    """
    family, checkpoint = known(name)
    _check_planned(family, name)
    pixels = math.prod(size) + references * family.reference_pixels
    tokens = pixels // family.size_multiple**2 + family.max_sequence_length
    passes = 1 if checkpoint.distilled or family.embeds_guidance else 2
    itemsize = BYTES[precision]
    return Forecast(
        precision,
        quantisation,
        {part: int(each * 1e9) for part, each in checkpoint.memory(precision, quantisation).items()},
        tokens * checkpoint.hidden * ACTIVATIONS * itemsize * passes,
        math.prod(size) * _CHANNELS * DECODER * itemsize,
    )


def known(name: str) -> tuple[Family, Checkpoint]:
    """The row of a published checkpoint.

    Raises:
        ModelError: there is none of that name.
    """
    found = published(name)
    if found is None:
        names = [each for family in FAMILIES.values() for each in family.checkpoints]
        raise ModelError(
            f"There is no model {name!r}, and no published one of that name is known.", nearest(name, names)
        )
    return found


def _check_planned(family: Family, name: str) -> None:
    if "transformer" not in family.components:
        raise SettingsError(f"The memory of {name} is not planned.", "Name a FLUX model.")
