"""Larger pictures: ESRGAN-like networks in exact tiles, and a pass of a FLUX model over tiles. Importing is torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.upscale.operation import Refine, Upscale, upscalers
from workbench.upscale.run import Upscaled, upscale

if TYPE_CHECKING:
    from workbench.upscale.upscaler import Upscaler

__all__ = ["Refine", "Upscale", "Upscaled", "Upscaler", "upscale", "upscalers"]


def __getattr__(name: str) -> Any:
    if name == "Upscaler":
        from workbench.upscale.upscaler import Upscaler

        return Upscaler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
