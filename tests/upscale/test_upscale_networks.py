"""ESRGAN-like networks: every published layout is the same network, and tiles leave no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from tests.engine.pictures import draw
from tests.upscale.weights import compact, first_release, paper, rrdb, save, tensors
from workbench.errors import Cancelled, ModelError
from workbench.upscale.layout import Layout, UpscaleError, identify
from workbench.upscale.upscaler import Upscaler

LAYOUTS = [rrdb(), rrdb(doublings=1), rrdb(doublings=2, unshuffle=2), rrdb(doublings=2, unshuffle=4), compact()]
Rename = Callable[[str, Layout], str]


def plain_rrdb(weights: dict[str, torch.Tensor], layout: Layout, value: torch.Tensor) -> torch.Tensor:
    """RRDBNet as the paper's figures draw it, on the whole picture, without our classes."""

    def conv(name: str, seen: torch.Tensor) -> torch.Tensor:
        return F.conv2d(seen, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    first = body = conv("conv_first", F.pixel_unshuffle(value, layout.unshuffle))
    for block in range(layout.blocks):
        start = body
        for dense in (1, 2, 3):
            seen = [body]
            for place in range(1, 5):
                seen.append(F.leaky_relu(conv(f"body.{block}.rdb{dense}.conv{place}", torch.cat(seen, 1)), 0.2))
            body = body + 0.2 * conv(f"body.{block}.rdb{dense}.conv5", torch.cat(seen, 1))
        body = start + 0.2 * body
    out = first + conv("conv_body", body)
    for place in range(1, layout.doublings + 1):
        out = F.leaky_relu(conv(f"conv_up{place}", F.interpolate(out, scale_factor=2, mode="nearest")), 0.2)
    return conv("conv_last", F.leaky_relu(conv("conv_hr", out), 0.2))


def plain_compact(weights: dict[str, torch.Tensor], layout: Layout, value: torch.Tensor) -> torch.Tensor:
    out = value
    for place in range(layout.blocks + 1):
        out = F.conv2d(out, weights[f"body.{2 * place}.weight"], weights[f"body.{2 * place}.bias"], padding=1)
        out = F.prelu(out, weights[f"body.{2 * place + 1}.weight"])
    last = 2 * layout.blocks + 2
    out = F.conv2d(out, weights[f"body.{last}.weight"], weights[f"body.{last}.bias"], padding=1)
    return F.pixel_shuffle(out, layout.scale) + F.interpolate(value, scale_factor=layout.scale, mode="nearest")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.network}-{layout.scale}")
def test_the_network_is_the_papers(tmp_path: Path, layout: Layout) -> None:
    network = Upscaler(save(tmp_path / "up.safetensors", layout)).network
    value = torch.rand(1, 3, 20, 28)
    plain = plain_rrdb if layout.network == "rrdb" else plain_compact
    with torch.no_grad():
        torch.testing.assert_close(network(value), plain(tensors(layout), layout, value), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.network}-{layout.scale}")
@pytest.mark.parametrize("tile", [16, 23, 40])
def test_tiles_give_the_numbers_of_the_whole_picture(tmp_path: Path, layout: Layout, tile: int) -> None:
    """Also where tiles are narrower than a part's field of view, and where the picture is no multiple of anything."""
    upscaler = Upscaler(save(tmp_path / "up.safetensors", layout))
    picture = draw(3, 83, 61)
    whole, tiled = (np.asarray(upscaler(picture, tile=side), int) for side in (None, tile))
    assert whole.shape == (61 * layout.scale, 83 * layout.scale, 3)
    assert whole.std() > 10
    assert np.abs(whole - tiled).max() <= 1
    assert (whole != tiled).mean() < 1e-3


def test_a_margin_that_is_too_small_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: with a radius of one pixel less the tiles show."""
    from workbench.upscale.upscaler import _Tiles

    upscaler = Upscaler(save(tmp_path / "up.safetensors", compact(blocks=4)))
    picture = draw(3, 64, 48)
    whole = np.asarray(upscaler(picture, tile=None), int)
    call = _Tiles.__call__

    def narrow(self: _Tiles, part: object, value: torch.Tensor, *, radius: int, scale: int = 1) -> torch.Tensor:
        return call(self, part, value, radius=radius - 1, scale=scale)  # type: ignore[arg-type]

    monkeypatch.setattr(_Tiles, "__call__", narrow)
    assert np.abs(np.asarray(upscaler(picture, tile=16), int) - whole).max() > 1


@pytest.mark.parametrize(
    ("layout", "names", "prefix"),
    [
        (rrdb(), first_release, ""),
        (rrdb(doublings=1), first_release, ""),
        (rrdb(doublings=3), first_release, ""),
        (rrdb(doublings=0), first_release, ""),
        (rrdb(), paper, ""),
        (rrdb(doublings=1), paper, "module."),
        (rrdb(), None, "params_ema."),
        (compact(), None, "params."),
    ],
)
def test_published_names_are_one_network(tmp_path: Path, layout: Layout, names: Rename | None, prefix: str) -> None:
    ours = Upscaler(save(tmp_path / "ours.safetensors", layout))
    theirs = Upscaler(save(tmp_path / "theirs.safetensors", layout, names, prefix))
    assert theirs.scale == layout.scale
    picture = draw(1, 24, 20)
    assert np.array_equal(np.asarray(ours(picture)), np.asarray(theirs(picture)))


def test_what_is_no_upscaler_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "up.safetensors"
    cases: list[tuple[dict[str, torch.Tensor | None], str]] = [
        ({"conv_last.weight": torch.zeros(1, 8, 3, 3)}, "conv_last.weight"),
        ({"extra.weight": torch.zeros(2)}, "extra.weight"),
        ({"body.0.rdb2.conv3.bias": None}, "body.0.rdb2.conv3.bias missing"),
        ({"conv_first.weight": None}, "first convolution"),
    ]
    for change, message in cases:
        values = {name: value for name, value in {**tensors(rrdb()), **change}.items() if value is not None}
        save_file(values, path)
        with pytest.raises(UpscaleError, match=message):
            identify(path)
    save_file({"a": torch.zeros(3)}, path)
    with pytest.raises(UpscaleError, match="no known upscaler"):
        identify(path)
    values = tensors(compact())
    save_file({name: value for name, value in values.items() if value.ndim != 1 or "bias" in name}, path)
    with pytest.raises(UpscaleError, match="activations"):
        identify(path)
    save_file(tensors(rrdb()) | {f"params.{name}": value for name, value in tensors(rrdb()).items()}, path)
    with pytest.raises(UpscaleError, match="two sets"):
        identify(path)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "up.safetensors", compact())
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ModelError, match="incomplete"):
        Upscaler(path)
    (tmp_path / "up.pth").write_bytes(b"PK")
    with pytest.raises(ModelError, match="pickle"):
        Upscaler(tmp_path / "up.pth")
    values = tensors(compact())
    values["body.4.bias"][0] = float("nan")
    save_file(values, path)
    with pytest.raises(UpscaleError, match=r"body\.4\.bias"):
        Upscaler(path)


def test_limits_and_stopping(tmp_path: Path) -> None:
    upscaler = Upscaler(save(tmp_path / "up.safetensors", compact(scale=4)))
    with pytest.raises(UpscaleError, match="megapixels"):
        upscaler(Image.new("RGB", (4096, 4096)))
    with pytest.raises(UpscaleError, match="too small"):
        upscaler(draw(1, 32, 32), tile=8)
    told: list[tuple[int, int]] = []
    upscaler(draw(1, 40, 40), tile=16, progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 27) for number in range(1, 28)]  # nine tiles in each of three parts
    with pytest.raises(Cancelled):
        upscaler(draw(1, 40, 40), tile=16, cancelled=lambda: len(told) > 0)
