"""What adapters change beside matrices: biases, norms, and the width of FLUX.1's input layer; and how it goes back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import ModelError


class Beside:
    """Holds such changes of one transformer, and what was there before.

    Args:
        transformer: the module that is changed in place.
    """

    def __init__(self, transformer: nn.Module) -> None:
        self._transformer: Any = transformer
        self._kept: dict[str, Tensor] = {}  # by parameter name
        self._input: nn.Linear | None = None  # before it was widened

    def move(self, name: str, by: Tensor, weight: float, *, whole: bool) -> None:
        """Add `weight * by` to a parameter, or with `whole` move it towards `by` by that share; in float32.

        Raises:
            ModelError: the transformer has no such parameter, or one of another shape.
        """
        try:
            parameter = self._transformer.get_parameter(name)
        except AttributeError:
            raise ModelError(f"The model has no {name}, which the adapter changes.", "Use another adapter.") from None
        if by.shape != parameter.shape:
            raise ModelError(
                f"The adapter changes {name} of {tuple(parameter.shape)} values by {tuple(by.shape)}.",
                "Use an adapter trained on this model.",
            )
        with torch.no_grad():
            self._kept.setdefault(name, parameter.detach().clone())
            old, by = parameter.float(), by.to(parameter.device)
            parameter.copy_(old + weight * (by - old if whole else by))

    def widen(self, channels: int) -> nn.Linear | None:
        """Let the input layer read `channels`, the new ones without effect; the new layer, or None if nothing changes.

        Only a doubling is known: the control picture's channels beside the latents'.
        """
        old = getattr(self._transformer, "x_embedder", None)
        if not isinstance(old, nn.Linear) or channels != 2 * old.in_features:
            return None
        wide = nn.Linear(
            channels, old.out_features, bias=old.bias is not None, device=old.weight.device, dtype=old.weight.dtype
        ).requires_grad_(requires_grad=False)
        with torch.no_grad():
            wide.weight.zero_()
            wide.weight[:, : old.in_features] = old.weight
            if old.bias is not None:
                wide.bias.copy_(old.bias)
        self._input, self._transformer.x_embedder = old, wide
        return wide

    def restore(self) -> nn.Linear | None:
        """Put everything back; the input layer from before, where it was widened."""
        with torch.no_grad():
            for name, value in self._kept.items():
                self._transformer.get_parameter(name).copy_(value)
        self._kept.clear()
        old, self._input = self._input, None
        if old is not None:
            self._transformer.x_embedder = old
        return old
