"""Which device 'auto' means, and the precision that suits a device."""

from __future__ import annotations

import ctypes
import sys

from workbench.errors import SettingsError
from workbench.recipe import Precision


def choose_device(setting: str) -> str:
    """The device that a setting names, as torch spells it.

    'auto' is the first NVIDIA GPU when its driver and a CUDA build of torch are there, else the CPU. Where no driver is
    installed that is known without importing torch, which takes seconds.

    Args:
        setting: 'auto', 'cpu', 'cuda', 'cuda:1', 'mps'.

    Raises:
        SettingsError: another word.
    """
    if setting == "auto":
        return "cuda" if _has_driver() and _torch_sees_cuda() else "cpu"
    kind, _, number = setting.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise SettingsError(f"There is no device {setting!r}.", "Use auto, cpu, cuda, cuda:0 or mps.")
    return setting


def default_precision(device: str) -> Precision:
    """bfloat16 on CUDA, where weights are published and run in it; float32 elsewhere, where pictures are exact."""
    return "bfloat16" if device.startswith("cuda") else "float32"


def _has_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _torch_sees_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
