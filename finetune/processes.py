"""Several processes that train one adapter: each takes its share of every batch, and gradients are added up.

accelerate starts them and owns the devices. The adapter's gradients are small, so they travel as one tensor after the
backward pass; a process that had no picture of a last, smaller batch adds zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from finetune.config import TrainConfig, TrainConfigError


def make_accelerator(config: TrainConfig, device: torch.device, folder: str) -> Any:
    """The accelerator of this process; with the configured trackers.

    Raises:
        TrainConfigError: a tracker that is not installed.
    """
    from accelerate import Accelerator

    try:
        return Accelerator(cpu=device.type == "cpu", log_with=list(config.trackers) or None, project_dir=folder)
    except (ImportError, ValueError, RuntimeError) as error:
        raise TrainConfigError(
            f"The trackers {', '.join(config.trackers)} cannot be used: {error}.", "Install them, or leave them out."
        ) from error


def sum_over_processes(accelerator: Any, loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
    """Replace loss () and gradients by their sums over all processes, in place."""
    if accelerator.num_processes == 1:
        return
    gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
    flat = accelerator.reduce(torch.cat([loss.view(1), *(each.flatten() for each in gradients)]), reduction="sum")
    loss.copy_(flat[0])
    for parameter, part in zip(parameters, flat[1:].split([each.numel() for each in parameters]), strict=True):
        parameter.grad = part.view_as(parameter).clone()


def agree(accelerator: Any, value: str) -> str:
    """What the first process says, in all of them."""
    if accelerator.num_processes == 1:
        return value
    from accelerate.utils import broadcast_object_list

    values = [value]
    broadcast_object_list(values)
    return values[0]
