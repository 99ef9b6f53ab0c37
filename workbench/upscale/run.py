"""Do an upscaling, keep the result by its digest, and write into it how to make it again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from workbench.engine.events import CancelToken, Listener
from workbench.errors import StoreError
from workbench.models.device import choose_device
from workbench.recipe import Recipe
from workbench.session import Session
from workbench.store import read_picture
from workbench.upscale.operation import (
    LANCZOS,
    ResolvedUpscale,
    Upscale,
    resolve_upscale,
    upscaler_path,
)


@dataclass(frozen=True, slots=True)
class Upscaled:
    """One enlarged picture."""

    digest: str  # of the resolved request
    path: Path  # the PNG that is kept
    resolved: ResolvedUpscale
    picture: Image.Image
    seconds: dict[str, float] = field(default_factory=dict)  # enlarge, refine
    warnings: tuple[str, ...] = ()
    reused: bool = False  # it was there already


def upscale(
    session: Session,
    request: Upscale | str | Path,
    /,
    *,
    progress: Callable[[int, int], None] | None = None,
    listen: Listener | None = None,
    cancel: CancelToken | None = None,
    again: bool = False,
    tile: int | None = 256,
    **fields: Any,
) -> Upscaled:
    """Make a picture larger, or read the result from where it is kept.

        upscale(session, "circle.png", upscaler="RealESRGAN_x4plus", scale=2)

    Args:
        session: the home folder and the engine.
        request: what to do, or the path or digest of the picture; pictures of the store are named by their digest too.
        progress: told how many tiles of how many the network has done.
        listen: told what the engine tells while it refines.
        cancel: stops within one tile or one step.
        again: do it even when the result is kept.
        tile: side of the network's tiles in pixels; None: none. It changes memory and time only.
        fields: fields of the request that are given here.

    Raises:
        WorkbenchError: as `resolve_upscale`, or the picture could not be made or saved.
    """
    if not isinstance(request, Upscale):
        request = Upscale.parse({"picture": request} | fields)
    elif fields:
        request = Upscale.parse(request.model_dump() | fields)
    stored = session.store.path(request.picture)
    made_from: dict[str, Any] = {}
    if stored.is_file() and stored.stem == request.picture:
        request = request.model_copy(update={"picture": str(stored)})
    if Path(request.picture).is_file():
        made_from = _origin(Path(request.picture))
    resolved = resolve_upscale(request, session.catalog)
    path = session.store.path(resolved.digest)
    if not again and (kept := _kept(resolved, path)) is not None:
        return kept
    seconds: dict[str, float] = {}
    warnings: tuple[str, ...] = ()
    token = cancel or CancelToken()
    start = time.perf_counter()
    picture = _enlarge(session, resolved, request.upscaler, tile=tile, progress=progress, token=token)
    seconds["enlarge"] = time.perf_counter() - start
    if resolved.refined is not None:
        from workbench.upscale.refine import refine  # the engine imports torch

        start = time.perf_counter()
        picture, warnings = refine(session, picture, resolved, listen=listen, cancel=token)
        seconds["refine"] = time.perf_counter() - start
    made = Upscaled(resolved.digest, path, resolved, picture, seconds, warnings)
    session.store.keep(picture, provenance(made, made_from))
    return made


def provenance(made: Upscaled, made_from: dict[str, Any]) -> dict[str, Any]:
    """What the file says of itself: the request as it was resolved, files by content, and where the picture came from.

    With the fields that every picture of the store has, so that the gallery finds it and follows it to its source.
    """
    from workbench import __version__

    resolved = made.resolved
    refined, upscaler = resolved.refined, resolved.request.upscaler
    return {
        "format": 1,
        "version": __version__,
        "created": datetime.now(UTC).isoformat(),
        "operation": "upscale",
        "digest": made.digest,
        "request": resolved.request.model_dump(mode="json"),
        "canonical": resolved.canonical_json,
        "made_from": made_from,
        "recipe": _facts(resolved, made_from).model_dump(mode="json"),
        "weights": refined.weights if refined else resolved.weights,
        "adapter_weights": list(refined.adapter_weights) if refined else [],
        "seconds": made.seconds,
        "environment": {"operation": "upscale", "upscaler": upscaler, "scale": f"{resolved.request.scale:g}"},
        "warnings": list(made.warnings),
        "fallbacks": [],
        "peak_bytes": 0,
    }


def _facts(resolved: ResolvedUpscale, made_from: dict[str, Any]) -> Recipe:
    """What the gallery shows: the picture as its image, what it shows from the refine pass or from that picture's recipe."""
    refine, refined = resolved.request.refine, resolved.refined
    told = made_from.get("recipe")
    told = told if isinstance(told, dict) else {}
    if refine is not None and refined is not None:
        drawn = refined.recipe.replace(seed=refine.seed, strength=refine.strength)
    else:
        drawn = Recipe(
            model=Path(resolved.request.upscaler).stem,
            seed=told.get("seed") or 0,
            strength=0.0,
            steps=1,
            guidance_scale=1,
        )
    return drawn.replace(
        prompt=drawn.prompt or told.get("prompt") or "",
        image=resolved.request.picture, width=resolved.width, height=resolved.height,
    )  # fmt: skip


def _origin(path: Path) -> dict[str, Any]:
    """The digest and recipe of one of our pictures; nothing for any other."""
    try:
        metadata = read_picture(path)[1]
    except StoreError:  # not a PNG that can be read so; whether it can be used is decided elsewhere
        return {}
    return {name: metadata[name] for name in ("operation", "digest", "recipe", "weights") if name in metadata}


def _enlarge(
    session: Session,
    resolved: ResolvedUpscale,
    upscaler: str,
    *,
    tile: int | None,
    progress: Callable[[int, int], None] | None,
    token: CancelToken,
) -> Image.Image:
    """The picture at the wanted size: by the network and then down by Lanczos, or by Lanczos alone."""
    picture = session.catalog.inputs.open(resolved.request.picture)
    if upscaler != LANCZOS:
        from workbench.upscale.upscaler import Upscaler

        network = Upscaler(upscaler_path(session.settings.home, upscaler), choose_device(session.settings.device))
        picture = network(picture, tile=tile, progress=progress, cancelled=lambda: token.cancelled)
    if picture.size == (resolved.width, resolved.height):
        return picture
    return picture.resize((resolved.width, resolved.height), Image.Resampling.LANCZOS)


def _kept(resolved: ResolvedUpscale, path: Path) -> Upscaled | None:
    """The result that is there already; a damaged one is made again."""
    try:
        picture, metadata = read_picture(path)
    except StoreError:
        return None
    if metadata.get("digest") != resolved.digest:
        return None
    seconds = metadata.get("seconds", {})
    return Upscaled(resolved.digest, path, resolved, picture, seconds, tuple(metadata.get("warnings", ())), reused=True)
