"""Which family, and which of the models at hand, an adapter was made for: names and shapes, headers only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from finetune.adapter_info import AdapterInfo
from workbench.models.catalog import Model
from workbench.models.checkpoint import component_weights, read_header
from workbench.models.dialects.layout import Architecture, architecture_of
from workbench.models.dialects.names import Key, place_of
from workbench.models.families import FAMILIES


@dataclass(frozen=True, slots=True)
class Fit:
    """What an adapter goes with."""

    models: tuple[str, ...]  # names of the models at hand whose layers it matches, by name and by shape
    families: tuple[str, ...]  # families that it may belong to; empty: none that is known


def find_fit(info: AdapterInfo, models: Iterable[Model]) -> Fit:
    """Compare an adapter with the transformers of `models`.

    A model whose layers match in name and shape settles the family. Otherwise every family of the adapter's
    architectures stays possible whose published models were not all compared.

    Raises:
        ModelError: the weights of a model cannot be read.
    """
    at_hand = list(models)
    layers = {model.name: _linear_layers(model) for model in at_hand}
    fitting = [model for model in at_hand if _matches(info, layers[model.name])]
    if fitting:
        return Fit(tuple(model.name for model in fitting), tuple(dict.fromkeys(m.family.name for m in fitting)))
    classes = {each.transformer for each in info.identity.architectures}
    return Fit(
        (),
        tuple(
            row.name
            for row in FAMILIES.values()
            if row.components.get("transformer") in classes and not row.checkpoints.keys() <= layers.keys()
        ),
    )


def _matches(info: AdapterInfo, layers: dict[str, tuple[int, int]]) -> bool:
    architecture = architecture_of(layers)
    if architecture is None or (info.identity.architectures and architecture not in info.identity.architectures):
        return False
    wanted = _shapes(info, architecture)
    return wanted is not None and wanted.items() <= layers.items()


def _shapes(info: AdapterInfo, architecture: Architecture) -> dict[str, tuple[int, int]] | None:
    """(out, in) of the diffusers modules that an adapter changes; None when it names a layer that does not exist."""
    found = {}
    for name, module in info.modules.items():
        place = place_of(Key(info.dialect, name, "up"), architecture)
        if place is None:
            return None
        modules = place.diffusers()
        shares = place.layer.shares[: 3 if info.dialect == "xlabs" else None] if len(modules) > 1 else (1,)
        unit = module.out_features // sum(shares)
        for each, share in zip(modules, shares, strict=False):
            found[each] = (unit * share, module.in_features)
    return found


def _linear_layers(model: Model) -> dict[str, tuple[int, int]]:
    """(out, in) of every matrix of the transformer, by module name."""
    return {
        key.removesuffix(".weight"): (entry["shape"][0], entry["shape"][1])
        for path in component_weights(model.path / "transformer")
        for key, entry in read_header(path).items()
        if key.endswith(".weight") and len(entry["shape"]) == 2
    }
