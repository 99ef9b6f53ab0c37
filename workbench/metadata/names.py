"""Other tools' names of models and adapters: mapped only where it is certain what is meant.

Certain is: the catalog has a model of that very name, or the name, without folder, extension and precision, is that of a
published checkpoint in the table of families.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from workbench.models.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXTENSIONS = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".bin")
# What tools append to a checkpoint's name when its weights are stored in another precision.
_PRECISION = re.compile(
    r"[-_. ]*[(\[]?(fp8(?:[-_]?(?:e4m3fn|e5m2|mixed|scaled))*|e4m3fn|e5m2|fp16|bf16|fp32|nf4(?:[-_]?v\d)?|int8|nvfp4|quantized|"
    r"(?:bnb[-_]?)?4bit|q\d(?:[-_][01ksml])*|scaled|diffusers)[)\]]?$",
    re.IGNORECASE,
)


# Files and presets under which a checkpoint is published besides its repository's name.
_ALSO = {
    "flux1-dev-kontext": "FLUX.1-Kontext-dev",  # Comfy-Org
    "sd_xl_base_1.0": "stable-diffusion-xl-base-1.0",  # Stability AI
    "v1-5-pruned-emaonly": "stable-diffusion-v1-5",  # Runway
    "v1-5-pruned": "stable-diffusion-v1-5",
    "stable-diffusion-1.5": "stable-diffusion-v1-5",  # InvokeAI 2
}


@dataclass(frozen=True, slots=True)
class Match:
    """A model of ours that another tool's name means."""

    name: str
    note: str = ""


class Names:
    """Finds our names.

    Args:
        models: names of the models that are here.
        adapters: names of the adapters that are here.
    """

    def __init__(self, models: Iterable[str] = (), adapters: Iterable[str] = ()) -> None:
        self._models = {key(name): name for name in models}
        self._adapters = {key(name): name for name in adapters}
        self._published = _published()

    def model(self, name: str) -> Match | None:
        """The model that `name` means, or None where that is not certain."""
        stem = strip(name)
        if found := self._models.get(key(stem)):
            return Match(found)
        bare, precision = _without_precision(stem)
        found = self._published.get(key(bare))
        if found is None:
            return None
        here = self._models.get(key(found), found)
        return Match(here, f"weights stored as {precision} there" if precision else "")

    def adapter(self, name: str) -> str:
        """The adapter's name without folder and extension; spelled as the one that is here, where there is one."""
        stem = strip(name)
        return self._adapters.get(key(stem), stem)


def strip(name: str) -> str:
    """A file name without folders (of either system) and without the extension of a model file."""
    last = PurePosixPath(name.strip().replace("\\", "/")).name or name.strip()
    for extension in _EXTENSIONS:
        if last.lower().endswith(extension) and len(last) > len(extension):
            return last[: -len(extension)]
    return last


def key(name: str) -> str:
    """Letters and digits only, in lower case: `FLUX.1-dev`, `flux1-dev` and `flux1_dev` are one name."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _without_precision(stem: str) -> tuple[str, str]:
    """A name without the precisions at its end, and these."""
    found: list[str] = []
    while match := _PRECISION.search(stem):
        if match.start() == 0:
            break
        found.insert(0, match[1])
        stem = stem[: match.start()]
    return stem, " ".join(found)


def _published() -> Mapping[str, str]:
    """Names of the published checkpoints by `key`; a name that two families use means neither."""
    seen: dict[str, set[str]] = {}
    for family in FAMILIES.values():
        for name, checkpoint in family.checkpoints.items():
            for spelling in {name, checkpoint.repository.rpartition("/")[2]} - {""}:
                seen.setdefault(key(spelling), set()).add(name)
    for spelling, name in _ALSO.items():
        if key(name) in seen:
            seen[key(spelling)] = seen[key(name)]
    return {spelling: next(iter(names)) for spelling, names in seen.items() if len(names) == 1}
