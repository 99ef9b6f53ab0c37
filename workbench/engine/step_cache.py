"""Runs a batch's steps with one of diffusers' approximate caches: its hooks, and what they remember, put on and taken off.

What a cache remembers belongs to one batch. Runs of one engine may alternate between steps, so a transformer wears the
hooks of at most one batch at a time: `wear` changes them, and without a cache takes all of them off, to the last
attribute. All rows of a batch are at the same step of equally many, as the caches count steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from workbench.recipe.approximate import PUBLISHED, Mode, parse

_MAG_CACHE_LEADER = "mag_cache_leader_block_hook"
_WORN: WeakKeyDictionary[nn.Module, StepCache] = WeakKeyDictionary()


class StepCache:
    """One batch's cache.

    Args:
        mode: as `workbench.recipe.approximate` writes it.
        steps: denoising steps of every row of the batch.
        dtype: precision at which features are kept.
        calibrate: compute everything and note MagCache's ratios instead.
    """

    def __init__(self, mode: str, steps: int, dtype: torch.dtype, *, calibrate: bool = False) -> None:
        self.mode: Mode = parse(mode)
        self._config = _config(self.mode, steps, dtype, calibrate=calibrate)
        self._hooks: list[tuple[nn.Module, str, Any]] = []  # where each hook was, to be put there again

    @property
    def alone(self) -> bool:
        """Whether passes must not be joined: it decides by the values of all rows that it sees."""
        return self.mode.method.alone

    @contextmanager
    def during(self, transformer: nn.Module, name: str) -> Iterator[None]:
        """One pass; passes of different names remember apart."""
        with transformer.cache_context(name):  # type: ignore[operator]  # of diffusers' CacheMixin
            yield

    def ratios(self) -> list[float]:
        """What a calibration has noted, one number a step, after its hooks were taken off."""
        noted = (hook.state_manager._state_cache for _, name, hook in self._hooks if name == _MAG_CACHE_LEADER)
        return [float(ratio) for states in noted for ratio in states["first"].calibration_ratios]

    def put_on(self, transformer: Any) -> None:
        """Hook the transformer, with what was remembered."""
        from diffusers.hooks import HookRegistry

        if not self._hooks:
            transformer.enable_cache(self._config)
            return
        for module, name, hook in self._hooks:
            HookRegistry.check_if_exists_or_initialize(module).register_hook(hook, name)
        HookRegistry.check_if_exists_or_initialize(transformer).invalidate_child_registries_cache()
        transformer._cache_config = self._config

    def take_off(self, transformer: Any) -> None:
        """Leave the transformer as it was, and remember."""
        self._hooks = list(_hooks(transformer))
        transformer.disable_cache()
        for module in transformer.modules():
            registry = getattr(module, "_diffusers_hook", None)
            if registry is not None and not registry.hooks:
                del module._diffusers_hook
                if getattr(module.__dict__.get("forward"), "__func__", None) is type(module).forward:
                    del module.forward  # the hooks left the class's own method on the instance
        del transformer._cache_config  # the class's own is None


def wear(transformer: nn.Module, cache: StepCache | None) -> None:
    """Give the transformer the hooks of this batch, or none."""
    worn = _WORN.get(transformer)
    if worn is cache:
        return
    if worn is not None:
        worn.take_off(transformer)
        del _WORN[transformer]
    if cache is not None:
        cache.put_on(transformer)
        _WORN[transformer] = cache


def worn(transformer: nn.Module) -> StepCache | None:
    """Whose hooks the transformer has now."""
    return _WORN.get(transformer)


def _hooks(transformer: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    for module in transformer.modules():
        registry = getattr(module, "_diffusers_hook", None)
        if registry is not None:
            yield from ((module, name, hook) for name, hook in registry.hooks.items())


def _config(mode: Mode, steps: int, dtype: torch.dtype, *, calibrate: bool) -> Any:
    """The configuration of diffusers; its defaults are stated, so that another version cannot change them unseen."""
    from diffusers.hooks import FirstBlockCacheConfig, MagCacheConfig, TaylorSeerCacheConfig
    from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS

    if mode.name == "taylorseer":
        return TaylorSeerCacheConfig(
            cache_interval=int(mode["interval"]),
            disable_cache_before_step=int(mode["warmup"]),
            disable_cache_after_step=None,
            max_order=int(mode["order"]),
            taylor_factors_dtype=dtype,
            use_lite_mode=bool(mode["lite"]),
        )
    if mode.name == "magcache":
        if calibrate:  # one step more than are done: after the last it would print and forget
            return MagCacheConfig(num_inference_steps=steps + 1, calibrate=True)
        ratios = FLUX_MAG_RATIOS if mode.ratios == PUBLISHED else list(mode.ratios or ())
        return MagCacheConfig(
            threshold=mode["threshold"],
            max_skip_steps=int(mode["skip"]),
            retention_ratio=mode["retention"],
            num_inference_steps=steps,
            mag_ratios=ratios,
        )
    return FirstBlockCacheConfig(threshold=mode["threshold"])
