"""Read an adapter of any dialect for work on it: the change of each layer under diffusers' names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import ModelError
from workbench.models.checkpoint import read_header
from workbench.models.dialects.changes import Change, Kronecker, LowRank
from workbench.models.dialects.identify import Identity
from workbench.models.dialects.layout import Architecture
from workbench.models.dialects.read import read_changes


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """One adapter file, read.

    Attributes:
        path: where it lies.
        identity: dialect, kind, architecture, ranks.
        architecture: what its keys were read as; None when it names only layers that no table knows.
        changes: float32 change of each layer, by diffusers module name.
        unmatched: tensors that belong to no layer of the transformer (text encoders, norms); they are not in `changes`.
        dtypes: of the tensors in the file, as safetensors spells them.
        metadata: the file's.
    """

    path: Path
    identity: Identity
    architecture: Architecture | None
    changes: Mapping[str, Change]
    unmatched: tuple[str, ...]
    dtypes: tuple[str, ...]
    metadata: Mapping[str, str]

    def low_rank(self) -> dict[str, LowRank]:
        """The changes as products B A with the scale folded into B; a LoKr's is written out exactly.

        Raises:
            ModelError: a change that is no product of two thin matrices (LoHa, a dense difference, DoRA).
        """
        found = {}
        for module, change in self.changes.items():
            product = change.low_rank() if isinstance(change, Kronecker) else change
            if not isinstance(product, LowRank) or product.magnitude is not None:
                kind = self.identity.kind
                raise ModelError(
                    f"The adapter {self.path} is a {kind}: its change of {module} is no product of two matrices.",
                    "Merge it into the base and extract a LoRA: `finetune merge --into`, then `finetune extract`.",
                )
            found[module] = product.folded()
        return found

    def low_rank_or_dora(self) -> dict[str, LowRank]:
        """As `low_rank`, with DoRA's magnitudes kept for formats that have a place for them.

        Raises:
            ModelError: as `low_rank`, but for DoRA.
        """
        if all(isinstance(change, LowRank) for change in self.changes.values()):
            return {name: change for name, change in self.changes.items() if isinstance(change, LowRank)}
        return self.low_rank()

    def kept_metadata(self) -> dict[str, str]:
        """The metadata that stays true in a file made from this one: not what describes the tensors themselves."""
        gone = (
            *("lora_adapter_metadata", "format", "ss_network_alpha", "ss_network_dim", "ss_network_module"),
            *("sshs_", "modelspec.hash", "modelspec.implementation"),
        )
        return {key: value for key, value in self.metadata.items() if not key.startswith(gone)}


def load_adapter(path: Path | str) -> AdapterFile:
    """Read the adapter in the safetensors file `path`, whatever tool wrote it.

    Raises:
        ModelError: no safetensors file, no adapter, or matrices that do not belong together.
    """
    path = Path(path).expanduser()
    reading = read_changes(path)
    if not reading.changes:
        raise ModelError(
            f"The file {path} holds no adapter of a FLUX model: none of its {reading.keys} tensors is named like one.",
            "Name the adapter's .safetensors file, not a model's.",
        )
    header = read_header(path)
    return AdapterFile(
        path=path,
        identity=reading.identity,
        architecture=reading.identity.architectures[0] if reading.identity.architectures else None,
        changes=reading.changes,
        unmatched=reading.unmatched,
        dtypes=tuple(sorted({str(entry.get("dtype")) for entry in header.values()})),
        metadata=reading.metadata,
    )
