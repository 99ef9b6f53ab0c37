"""The difference of two models as an adapter: what was trained into whole weights, or what distillation changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from finetune.surgery.lowrank import Cut, Kept, SurgeryError, cut_matrix
from finetune.surgery.merge import linear_shapes
from finetune.surgery.resize import Resized, summed
from workbench.models.checkpoint import component_weights
from workbench.models.dialects.layout import Architecture, architecture_of


@dataclass(frozen=True, slots=True)
class Extracted:
    """What two models differ in.

    Attributes:
        resized: the low-rank changes, with the share of the difference that each keeps.
        architecture: of both.
        left_out: tensors that differ and are no linear layer of a block: an adapter cannot hold them portably.
    """

    resized: Resized
    architecture: Architecture | None
    left_out: tuple[str, ...]


def extract(
    base: Path, tuned: Path, cut: Cut, *, all_layers: bool = False, tell: Callable[[int, int], None] | None = None
) -> Extracted:
    """The adapter that turns the transformer of the folder `base` into that of `tuned`, up to `cut`.

    Args:
        base: a diffusers folder.
        tuned: another of the same shape.
        cut: how much is kept.
        all_layers: also layers outside the blocks, which other programs may not read.
        tell: called with the number of layers done and their total.

    Raises:
        ModelError: a folder is no model.
        SurgeryError: the models differ in shape, or not at all.
    """
    files = [component_weights(folder / "transformer") for folder in (base, tuned)]
    shapes = [linear_shapes(each) for each in files]
    if shapes[0] != shapes[1]:
        name = min(set(shapes[0].items()) ^ set(shapes[1].items()))[0]
        raise SurgeryError(
            f"The models {base.name} and {tuned.name} have different layers, for example {name}.",
            "Extract from two models of one size.",
        )
    architecture = architecture_of(shapes[0])
    found: dict[str, Kept] = {}
    left_out = []
    with ExitStack() as stack:
        first, second = (_Tensors(each, stack) for each in files)
        for done, key in enumerate(first.keys):
            difference = second.get(key).float() - first.get(key).float()
            if difference.any():
                module = key.removesuffix(".weight")
                if module in shapes[0] and key.endswith(".weight") and (all_layers or "blocks." in module):
                    found[module] = cut_matrix(difference, cut)
                else:
                    left_out.append(key)
            if tell is not None:
                tell(done + 1, len(first.keys))
    if not found:
        where = f"; only {left_out[0]} and the like do" if left_out else ""
        raise SurgeryError(
            f"The linear layers of {base.name} and {tuned.name} do not differ{where}.", "Name two different models."
        )
    return Extracted(summed(found), architecture, tuple(left_out))


class _Tensors:
    """The tensors of several safetensors files, read one at a time."""

    def __init__(self, paths: Sequence[Path], stack: ExitStack) -> None:
        from safetensors import safe_open

        self._streams: dict[str, Any] = {}
        for path in paths:
            stream = stack.enter_context(safe_open(path, framework="pt"))
            self._streams |= dict.fromkeys(stream.keys(), stream)
        self.keys = sorted(self._streams)

    def get(self, key: str) -> Tensor:
        if key not in self._streams:
            raise SurgeryError(f"Only one of the models has {key}.", "Extract from two models of one size.")
        tensor: Tensor = self._streams[key].get_tensor(key)
        return tensor
