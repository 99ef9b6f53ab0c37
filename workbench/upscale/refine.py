"""A FLUX model over overlapping tiles: every tile is an ordinary recipe from picture to picture, blended at the end.

Tiles are drawn by the engine like any recipes, in batches, each from a seed of its own: with one seed for all, the same
noise would lie in every tile and show as a pattern. A finished tile is kept in the cache until the whole is done, so a
run that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from workbench.engine.events import CancelToken, Listener
from workbench.engine.tiles import Span, spans, weights
from workbench.errors import StoreError
from workbench.models.inputs import content_digest
from workbench.recipe import resolve
from workbench.session import Session
from workbench.store import write_atomically
from workbench.store.files import make_folder
from workbench.store.png import encode_picture, read_picture
from workbench.upscale.operation import ResolvedUpscale


def tile_seed(seed: int, row: int, column: int) -> int:
    """The seed of one tile, 0 to 2^63 - 1: from SHA-256, so that neighbours and neighbouring seeds have nothing in common."""
    return int.from_bytes(hashlib.sha256(f"tile {seed} {row} {column}".encode()).digest()[:8], "big") >> 1


def refine(
    session: Session,
    picture: Image.Image,
    plan: ResolvedUpscale,
    *,
    listen: Listener | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Image.Image, tuple[str, ...]]:
    """The picture with every tile drawn anew a little, and what the engine warned of.

    Args:
        session: its engine draws the tiles.
        picture: the enlarged one, RGB.
        plan: a request with a refine pass.
        listen: told what the engine tells.
        cancel: stops within one step; finished tiles are kept.

    Raises:
        Cancelled: it was stopped.
        WorkbenchError: a tile could not be drawn.
    """
    own, shared = plan.request.refine, plan.refined
    assert own is not None
    assert shared is not None
    assert own.tile is not None  # filled by resolve_upscale
    assert own.overlap is not None
    width, height = shared.recipe.width or 0, shared.recipe.height or 0
    canvas = _at_least(picture, width, height)
    down = spans(canvas.height, height, min(own.overlap, height - 1))
    across = spans(canvas.width, width, min(own.overlap, width - 1))
    places = [(row, column) for row in range(len(down)) for column in range(len(across))]
    boxes = [(across[column][0], down[row][0], across[column][1], down[row][1]) for row, column in places]
    cache = _TileCache(session.settings.home / "cache" / "refine")
    with _kept(session, [canvas.crop(box) for box in boxes]) as names:
        recipes = [
            shared.recipe.replace(image=name, strength=own.strength, seed=tile_seed(own.seed, *place), task=None)
            for name, place in zip(names, places, strict=True)
        ]
        digests = [resolve(recipe, session.catalog).digest for recipe in recipes]
        done = [cache.read(digest) for digest in digests]
        missing = [place for place, tile in enumerate(done) if tile is None]
        warnings: tuple[str, ...] = ()
        for result in session.engine.run([recipes[place] for place in missing], listen=listen, cancel=cancel):
            if result.error is not None:
                raise result.error
            assert result.picture is not None  # a result without error has one
            done[missing[result.index]] = result.picture
            cache.write(digests[missing[result.index]], result.picture)
            warnings = tuple(dict.fromkeys((*warnings, *result.warnings, *result.fallbacks)))
    whole = blend([tile for tile in done if tile is not None], down, across)
    cache.forget(digests)
    return whole.crop((0, 0, *picture.size)), warnings


def blend(tiles: list[Image.Image], down: list[Span], across: list[Span]) -> Image.Image:
    """Tiles, rows from top to bottom, as one picture; where they overlap, in straight lines from one to the next."""
    out = np.zeros((down[-1][1], across[-1][1], 3), np.float32)
    number = iter(tiles)
    for (top, bottom), vertical in zip(down, weights(down), strict=True):
        for (left, right), horizontal in zip(across, weights(across), strict=True):
            share = vertical[:, None, None] * horizontal[None, :, None]
            out[top:bottom, left:right] += share * np.asarray(next(number), np.float32)
    return Image.fromarray((out + 0.5).clip(0, 255).astype(np.uint8))


def _at_least(picture: Image.Image, width: int, height: int) -> Image.Image:
    """The picture with its right and lower edges repeated until it holds a tile."""
    more = max(0, width - picture.width), max(0, height - picture.height)
    if not any(more):
        return picture
    return Image.fromarray(np.pad(np.asarray(picture), ((0, more[1]), (0, more[0]), (0, 0)), mode="edge"))


@contextmanager
def _kept(session: Session, tiles: list[Image.Image]) -> Iterator[list[str]]:
    """The tiles among the inputs, by digest, and gone again afterwards, except those that were there before."""
    inputs = session.catalog.inputs
    digests = [content_digest(tile) for tile in tiles]
    new = {digest for digest in digests if not inputs.path(digest).is_file()}
    try:
        for tile in tiles:
            inputs.add(tile)
        yield digests
    finally:
        for digest in new:
            inputs.path(digest).unlink(missing_ok=True)


class _TileCache:
    """Finished tiles by the digest of their recipe, safe to delete at any time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, digest: str) -> Image.Image | None:
        """The tile, or None when there is none or it is damaged."""
        path = self._folder / f"{digest}.png"
        try:
            return read_picture(path)[0] if path.is_file() else None
        except StoreError:
            return None

    def write(self, digest: str, tile: Image.Image) -> None:
        make_folder(self._folder)
        write_atomically(self._folder / f"{digest}.png", encode_picture(tile, {}))

    def forget(self, digests: list[str]) -> None:
        """Drop tiles that are in a finished picture."""
        for digest in digests:
            (self._folder / f"{digest}.png").unlink(missing_ok=True)
