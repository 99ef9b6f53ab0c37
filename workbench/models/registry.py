"""The one owner of weights in memory: components by content, the least recently used dropped first.

Components are kept one by one, so that models share what is equal in them: a VAE or a text encoder that two models have
in common is in memory once. Without a budget only the parts of the last model stay. A text encoder is loaded when the
first prompt has to be encoded, and not at all when all prompts are known.
"""

from __future__ import annotations

import gc
import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from workbench.models.adapters import AdapterMerger
from workbench.models.footprint import component_bytes
from workbench.models.loading import Components, assemble, read_component
from workbench.models.model import Model
from workbench.recipe import Precision, Quantisation
from workbench.recipe.known import packed_in

Key = tuple[object, ...]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Entry:
    value: Any
    bytes: int
    merger: AdapterMerger | None = None  # of a transformer


class Registry:
    """Loads components, keeps them, and lets them go.

    Args:
        budget: bytes of weights that may be kept; None: those of the model in use.
    """

    def __init__(self, budget: int | None = None) -> None:
        self.budget = budget
        self._parts: OrderedDict[Key, _Entry] = OrderedDict()  # least recently used first
        self._models: dict[Key, Components] = {}
        self.current: Components | None = None  # what was asked for last, while it is in memory
        self.loaded = 0  # components that were read from disk
        self.found = 0  # components that were there already

    def get(
        self,
        model: Model,
        precision: Precision,
        device: torch.device,
        *,
        text_on_host: bool = False,
        quantisation: Quantisation | None = None,
    ) -> Components:
        """The components of `model`; what is not in memory is loaded now, the text encoders when they are first used.

        `text_on_host` leaves text encoders that are loaded from now on on the CPU.

        Raises:
            ModelError: the folder cannot be loaded.
            torch.OutOfMemoryError: the device has no room for the weights.
        """
        owner = (model.fingerprint, precision, quantisation, str(device))
        names = {name: _key(model, name, precision, quantisation, device) for name in model.family.components}
        if owner in self._models and set(_eager(names).values()) <= self._parts.keys():
            for key in names.values():
                if key in self._parts:
                    self._parts.move_to_end(key)
            self.current = self._models[owner]
            self.current.text_on_host = text_on_host
            return self.current
        self._models.pop(owner, None)
        self.current = None
        self._make_room(model, names, precision, quantisation)
        components: Components

        def part(name: str) -> Any:
            key = names[name]
            entry = self._parts.get(key)
            if entry is None:
                host = name.startswith("text_encoder") and components_on_host()
                value = read_component(model, name, precision, torch.device("cpu") if host else device, quantisation)
                entry = _Entry(value, _size(value))
                if name == "transformer":
                    entry.merger = AdapterMerger(value)
                self._parts[key] = entry
                self.loaded += 1
                self._trim(set(names.values()))
            else:
                self.found += 1
            self._parts.move_to_end(key)
            return entry.value

        def components_on_host() -> bool:
            return components.text_on_host if owner in self._models else text_on_host

        def merger(transformer: nn.Module) -> AdapterMerger:
            held = self._parts[names["transformer"]]
            return held.merger or AdapterMerger(transformer)

        components = assemble(
            model, precision, device, part, merger, text_on_host=text_on_host, quantisation=quantisation
        )
        self._models[owner] = self.current = components
        return components

    def holds(self, model: Model, precision: Precision, quantisation: Quantisation | None = None) -> bool:
        """Whether these weights are in memory, the text encoder aside."""
        return any(
            key[:3] == (model.fingerprint, precision, quantisation) for key in self._models
        )  # fmt: skip

    @property
    def bytes(self) -> int:
        """Bytes of all weights in memory."""
        return sum(entry.bytes for entry in self._parts.values())

    def drop_text(self) -> int:
        """Let go of the text encoders, which come back when they are needed; the bytes that this frees."""
        keys = [key for key in self._parts if str(key[0]).startswith("text_encoder")]
        freed = sum(self._parts.pop(key).bytes for key in keys)
        _collect()
        return freed

    def economise(self, *, text_on_host: bool) -> None:
        """Return cached memory to the device; with `text_on_host` move the text encoders to the CPU."""
        if text_on_host:
            for components in self._models.values():
                components.text_on_host = True
            for key, entry in self._parts.items():
                if str(key[0]).startswith("text_encoder"):
                    entry.value.to("cpu")
        _collect()

    def unload(self) -> None:
        """Drop all weights in memory."""
        self.current = None
        self._models.clear()
        self._parts.clear()
        _collect()

    def _make_room(
        self, model: Model, names: dict[str, Key], precision: Precision, quantisation: Quantisation | None
    ) -> None:
        """Drop what is in the way before new weights arrive."""
        wanted = set(names.values())
        coming = 0
        if self.budget is not None:
            coming = sum(
                component_bytes(model, name, precision, quantisation)
                for name, key in names.items()
                if key not in self._parts and name in ("transformer", "vae")
            )
        self._trim(wanted, coming)

    def _trim(self, wanted: set[Key], coming: int = 0) -> None:
        """Drop the least recently used that is not wanted, until the budget holds `coming` more bytes."""
        dropped = False
        for key in list(self._parts):
            if key in wanted or (self.budget is not None and self.bytes + coming <= self.budget):
                continue
            log.info("dropping %s, %.2f GB", key[0], self._parts[key].bytes / 1e9)
            del self._parts[key]
            dropped = True
        if dropped:
            self._forget()
            _collect()

    def _forget(self) -> None:
        """Let go of the models whose weights were dropped."""
        held = {id(entry.value) for entry in self._parts.values()}
        for owner, components in list(self._models.items()):
            if not {id(components.transformer), id(components.vae)} <= held:
                del self._models[owner]
                self.current = None if self.current is components else self.current


def _eager(names: dict[str, Key]) -> dict[str, Key]:
    return {name: key for name, key in names.items() if not name.startswith("text_encoder")}


def _key(model: Model, name: str, precision: Precision, quantisation: Quantisation | None, device: torch.device) -> Key:
    """What makes a component the same: its class and files, and how it is loaded."""
    family = model.family
    layers = family.text_layers if name.startswith("text_encoder") else ()
    packed = packed_in(quantisation, name)
    return name, family.components[name], model.component_fingerprint(name), layers, precision, packed, str(device)


def _size(value: Any) -> int:
    if not isinstance(value, nn.Module):
        return 0
    return sum(each.nbytes for each in (*value.parameters(), *value.buffers()))


def _collect() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    else:
        _return_to_system()


def _return_to_system() -> None:
    """Give freed heap back: glibc keeps small blocks of a model's weights for itself otherwise."""
    import ctypes
    import sys

    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):  # another C library, which has its own ways
        return
