"""Adapters merged into the weights, always from a pristine copy.

W = W0 + sum of weight * change, where a change is scale * B A (LoRA) or what the adapter's kind makes of its matrices.
Merging costs nothing per step and needs no other graph; starting from W0 every time means that removing all adapters
restores the very bits, however often they were swapped (adding and subtracting in bfloat16 drifts: about a quarter of
the weights differ after ten rounds).

Layers whose weights are packed (`workbench.models.quantise`) keep them: while adapters act, a whole weight stands in.

A control LoRA of FLUX.1 also widens the input layer, adds to biases and replaces norms; all of it goes with it again.

Files of every dialect in `workbench.models.dialects` are read. One that belongs to another architecture or another size
of model is refused by name; tensors that belong to no layer of the transformer are listed in `AdapterMerger.warnings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from workbench.errors import ModelError
from workbench.models.beside import Beside
from workbench.models.dialects.changes import Change
from workbench.models.dialects.extras import input_width, read_extras
from workbench.models.dialects.identify import Identity, width_of
from workbench.models.dialects.layout import Architecture, architecture_of
from workbench.models.dialects.read import Reading, read_changes
from workbench.models.quantise import PackedLinear
from workbench.recipe.block_weights import multiplier, stack_of


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """One adapter to apply."""

    path: Path
    fingerprint: str  # SHA-256 of the file: a file that is replaced under its name is another adapter
    weight: float
    blocks: tuple[tuple[str, float], ...] = ()  # multipliers of single blocks, see `workbench.recipe.block_weights`


@dataclass(frozen=True, slots=True)
class AdapterReport:
    """How much of one adapter file acts."""

    path: Path
    identity: Identity  # dialect, kind, architecture
    layers: int  # linear layers it changes
    keys: int  # tensors in the file
    applied: int  # tensors that act
    unmatched: tuple[str, ...]  # tensors that belong to no layer of the transformer

    @property
    def warning(self) -> str:
        """A sentence about what does not act, or nothing."""
        if not self.unmatched:
            return ""
        return (
            f"The adapter {self.path.name} acts with {self.applied} of its {self.keys} keys; "
            f"not used: {_some(self.unmatched)}."
        )


class AdapterMerger:
    """Holds the adapters of one transformer.

    Args:
        transformer: the module whose linear layers are changed in place.
    """

    def __init__(self, transformer: nn.Module) -> None:
        self._beside = Beside(transformer)
        self._layers: dict[str, nn.Linear | PackedLinear] = {
            name: part for name, part in transformer.named_modules() if isinstance(part, nn.Linear | PackedLinear)
        }
        self._pristine: dict[str, Tensor] = {}
        self._totals: dict[str, Tensor] = {}  # float32 sums, alive only inside `apply`
        self._applied: tuple[AdapterFile, ...] = ()
        self.reports: tuple[AdapterReport, ...] = ()  # of the adapters that act, in order

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each acting adapter of which some tensors are not used."""
        return tuple(report.warning for report in self.reports if report.warning)

    def apply(self, adapters: Sequence[AdapterFile]) -> None:
        """Make `adapters` the ones that act, in place of those before.

        Raises:
            ModelError: a file does not fit the transformer; the base weights are then restored.
        """
        wanted = tuple(adapters)
        if wanted == self._applied:
            return
        self._restore()
        self._show_input(self._beside.widen(max((input_width(file.path) for file in wanted), default=0)))
        try:
            self._merge(wanted)
        except ModelError:
            self._restore()
            raise

    def _merge(self, wanted: tuple[AdapterFile, ...]) -> None:
        shapes = {name: (layer.out_features, layer.in_features) for name, layer in self._layers.items()}
        architecture = architecture_of(shapes)
        readings = [(read_adapter(file.path, shapes), file) for file in wanted]
        for reading, file in readings:
            _check_blocks(file, architecture, shapes)
            for name, change in reading.changes.items():
                weight = file.weight * _multiplier(file, architecture, name)
                if weight:
                    self._add(name, change, weight)
        extras = [self._add_extras(got, file, architecture, shapes) for got, file in readings]
        with torch.no_grad():
            for name, total in self._totals.items():
                layer = self._layers[name]
                if isinstance(layer, PackedLinear):
                    layer.replaced = total.to(layer.dtype)
                else:
                    layer.weight.copy_(total)
        self._totals.clear()
        self._applied = wanted
        self.reports = tuple(
            AdapterReport(
                file.path,
                got.identity,
                len(got.changes),
                got.keys,
                got.applied + len(extra),
                tuple(name for name in got.unmatched if name not in extra),
            )
            for (got, file), extra in zip(readings, extras, strict=True)
        )

    def _add(self, name: str, change: Change, weight: float) -> None:
        layer = self._layers[name]
        with torch.no_grad():
            if isinstance(layer, PackedLinear):
                base = layer.packed.dense()  # the pristine weight is the packed one, which stays
            else:
                base = self._pristine.setdefault(name, layer.weight.detach().clone())
            # The sum is kept in float32 until all adapters are in, so that several do not round one after another.
            total = self._totals.setdefault(name, base.to(torch.float32, copy=True))
            total += weight * change.delta(base)

    def _add_extras(
        self, got: Reading, file: AdapterFile, architecture: Architecture | None, shapes: Mapping[str, tuple[int, int]]
    ) -> frozenset[str]:
        """Biases and norms of a control LoRA; the names of the tensors that act."""
        if not got.unmatched:
            return frozenset()
        extras = read_extras(file.path, got.unmatched, architecture, shapes, got.changes)
        for name, bias in extras.biases.items():
            self._beside.move(f"{name}.bias", bias, file.weight, whole=False)
        for name, scale in extras.norms.items():
            self._beside.move(f"{name}.weight", scale, file.weight, whole=True)
        return extras.used

    def _show_input(self, layer: nn.Linear | None) -> None:
        """Take note of the transformer's input layer, where it was exchanged."""
        if layer is not None:
            self._pristine.pop("x_embedder", None)
            self._layers["x_embedder"] = layer

    def _restore(self) -> None:
        self._show_input(self._beside.restore())
        with torch.no_grad():
            for name, layer in self._layers.items():
                if isinstance(layer, PackedLinear):
                    layer.replaced = None
                elif name in self._pristine:
                    layer.weight.copy_(self._pristine[name])
        self._pristine.clear()
        self._totals.clear()
        self._applied = ()
        self.reports = ()


def read_adapter(path: Path, shapes: Mapping[str, tuple[int, int]]) -> Reading:
    """Read an adapter of any known dialect for a transformer.

    Args:
        path: a safetensors file.
        shapes: (out_features, in_features) of the transformer's linear layers, by name.

    Raises:
        ModelError: it belongs to another architecture or size of model, no key matches, or it is damaged.
    """
    architecture = architecture_of(shapes)
    reading = read_changes(path, architecture, shapes)
    identity = reading.identity
    known = {each.name for each in identity.architectures}
    if not reading.changes or (architecture is not None and known and architecture.name not in known):
        raise _mismatch(path, reading, architecture, shapes)
    for name, change in reading.changes.items():
        if change.shape != shapes[name]:
            raise ModelError(
                f"The adapter {path} changes {name} as a layer of {_by(change.shape)}, but in this model it is "
                f"{_by(shapes[name])}{_made_for(identity, architecture, shapes)}.",
                "Use an adapter trained on this model.",
            )
    return reading


def _multiplier(file: AdapterFile, architecture: Architecture | None, name: str) -> float:
    place = architecture.find(name) if architecture and file.blocks else None
    return 1.0 if place is None else multiplier(dict(file.blocks), place.layer.original, place.block)


def _check_blocks(file: AdapterFile, architecture: Architecture | None, shapes: Mapping[str, tuple[int, int]]) -> None:
    """Refuse multipliers of blocks that the model does not have: they would be a silent mistake.

    Raises:
        ModelError: a stack or block that is not there.
    """
    if not file.blocks:
        return
    known = {"rest"}
    for name in shapes:
        place = architecture.find(name) if architecture else None
        if place is not None and place.block:
            known |= {stack_of(place.layer.original), f"{stack_of(place.layer.original)}.{place.block}"}
    unknown = [key for key, _ in file.blocks if key not in known]
    if unknown:
        stacks = sorted({key.partition(".")[0] for key in known if "." in key})
        last = {
            stack: max(int(key.partition(".")[2]) for key in known if key.startswith(f"{stack}.")) for stack in stacks
        }
        raise ModelError(
            f"The model has no block {unknown[0]}, which the adapter {file.path.name} is weighted by.",
            f"It has {', '.join(f'{stack}.0-{number}' for stack, number in last.items())} and rest.",
        )


def _mismatch(
    path: Path, reading: Reading, architecture: Architecture | None, shapes: Mapping[str, tuple[int, int]]
) -> ModelError:
    missing = f"; not matched: {_some(reading.unmatched)}" if reading.unmatched else ""
    return ModelError(
        f"The adapter {path} does not fit the model: {reading.applied} of {reading.keys} keys match{missing}"
        f"{_made_for(reading.identity, architecture, shapes)}.",
        "Use an adapter trained on this model.",
    )


def _made_for(identity: Identity, architecture: Architecture | None, shapes: Mapping[str, tuple[int, int]]) -> str:
    """Half a sentence that names both sides, where they are known to differ."""
    if not identity.architectures or architecture is None:
        return ""
    width = width_of({f"{name}.lora_A.weight": (1, columns) for name, (_, columns) in shapes.items()}, architecture)
    return f". It was made for {identity.title}, and the model is {architecture.published(width)}"


def _by(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
