"""Which family, and which of the models at hand, an adapter was made for: names and shapes, headers only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from finetune.adapter_info import AdapterInfo
from workbench.models.catalog import Model
from workbench.models.checkpoint import component_weights, read_header
from workbench.models.families import FAMILIES


@dataclass(frozen=True, slots=True)
class Fit:
    """What an adapter goes with."""

    models: tuple[str, ...]  # names of the models at hand whose layers it matches, by name and by shape
    families: tuple[str, ...]  # families that it may belong to; empty: none that is known


def find_fit(info: AdapterInfo, models: Iterable[Model]) -> Fit:
    """Compare an adapter with the transformers of `models`.

    A model whose layers match in name and shape settles the family. Otherwise a family stays possible when its
    architecture has layers of these kinds (block numbers aside) and not all its checkpoints were compared.

    Raises:
        ModelError: the weights of a model cannot be read.
    """
    if info.naming != "diffusers":
        return Fit((), ())  # the other namings need a conversion table
    at_hand = list(models)
    layers = {model.name: _linear_layers(model) for model in at_hand}
    shapes = {name: (each.out_features, each.in_features) for name, each in info.modules.items()}
    fitting = [model for model in at_hand if shapes.items() <= layers[model.name].items()]
    if fitting:
        return Fit(tuple(model.name for model in fitting), tuple(dict.fromkeys(m.family.name for m in fitting)))
    kinds = {_kind(name) for name in shapes}
    classes = {
        model.family.components["transformer"] for model in at_hand if kinds <= {_kind(n) for n in layers[model.name]}
    }
    return Fit(
        (),
        tuple(
            row.name
            for row in FAMILIES.values()
            if row.components["transformer"] in classes and not row.checkpoints.keys() <= layers.keys()
        ),
    )


def _linear_layers(model: Model) -> dict[str, tuple[int, int]]:
    """(out, in) of every matrix of the transformer, by module name."""
    return {
        key.removesuffix(".weight"): (entry["shape"][0], entry["shape"][1])
        for path in component_weights(model.path / "transformer")
        for key, entry in read_header(path).items()
        if key.endswith(".weight") and len(entry["shape"]) == 2
    }


def _kind(module: str) -> str:
    return re.sub(r"\d+", "#", module, count=1)
