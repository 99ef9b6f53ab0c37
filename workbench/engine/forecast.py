"""What a picture will take in memory, from configurations and headers, before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from workbench.engine.memory import MARGIN, decode_bytes, row_bytes
from workbench.engine.plan import Shape
from workbench.errors import SettingsError
from workbench.models.footprint import BYTES, model_bytes
from workbench.models.model import Model
from workbench.recipe import Precision, Quantisation


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

    def choice(self, free: int) -> str:
        """What the engine will do with `free` bytes, in words."""
        if self.resident <= free * MARGIN:
            return "everything stays in memory"
        if self.dropped <= free * MARGIN:
            return "the text encoder is dropped once the prompts are encoded"
        if self.dropped - self.text <= free * MARGIN:
            return "the text encoder works on the CPU"
        return "does not fit"


def forecast(
    model: Model, precision: Precision, quantisation: Quantisation | None, size: tuple[int, int], *, references: int = 0
) -> Forecast:
    """What one picture of `model` needs.

    Args:
        model: the checkpoint.
        precision: of the arithmetic.
        quantisation: of the transformer's blocks.
        size: width and height in pixels.
        references: pictures that it looks at, each at the family's largest size.

    Raises:
        SettingsError: a model whose memory is not planned (a stock pipeline).
    """
    if "transformer" not in model.family.components:
        raise SettingsError(f"The memory of {model.name} is not planned.", "Name a FLUX model.")
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
