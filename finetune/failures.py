"""What a run that has to stop tells: where it was, what it was doing, and what to do, the cheapest first."""

from __future__ import annotations

from collections.abc import Sequence

from finetune.config import TrainConfig
from workbench.errors import WorkbenchError

SHOWN = 8  # pictures named


class TrainingError(WorkbenchError):
    """A run had to stop: a loss or gradient that is not finite, or too little memory."""

    code = "WB513"


def not_finite(
    step: int, *, loss: float, norm: float, rate: float, seen: Sequence[tuple[str, float]], saved: int
) -> TrainingError:
    """A step whose loss or gradient is not finite.

    Args:
        step: its number, from 1.
        loss: of the step.
        norm: of its gradient.
        rate: its learning rate.
        seen: its pictures with their noise levels.
        saved: step of the last checkpoint; 0: there is none.
    """
    shown = ", ".join(f"{name} (noise level {level:.3f})" for name, level in seen[:SHOWN])
    more = ", ..." if len(seen) > SHOWN else ""
    kept = f"The checkpoint of step {saved} is kept" if saved else "No checkpoint was written yet"
    return TrainingError(
        f"Step {step} is not finite (loss {loss:g}, gradient {norm:g}, learning rate {rate:g}) for {shown}{more}.",
        f"{kept}. Look at these pictures, and use a lower learning rate or float32.",
    )


def out_of_memory(
    config: TrainConfig, *, largest: str = "", used: float = 0.0, estimated: float = 0.0
) -> TrainingError:
    """The device's memory is used up.

    Args:
        config: of the run.
        largest: the largest bucket; empty: it did not come to the first step.
        used: most bytes that were in use.
        estimated: bytes beside the base's weights that a step was expected to take; 0: no formula fits.
    """
    told = f", {estimated / 1e9:.1f} GB estimated beside the base" if estimated else ""
    tried = f" (batches of {config.batch_size} at up to {largest}, {used / 1e9:.1f} GB{told})" if largest else ""
    remedies = ["gradient_checkpointing: all", "quant: int8", "a lower data.resolutions, or batch_size: 1"]
    if config.gradient_checkpointing == "all":
        remedies.pop(0)
    return TrainingError(
        f"The device has no memory left for this run{tried}.", f"In this order: {'; '.join(remedies)}."
    )
