from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evals.adherence.asks import AskError
from evals.cost import CostScorer
from evals.fidelity.diversity import DiversityScorer, lab_distance
from evals.fidelity.features import DinoDiversity, DinoScorer
from evals.fidelity.hexcolour import HexColour, delta_e, lab_of
from evals.fidelity.perceptual import Lpips, LpipsScorer
from evals.fidelity.pixels import SimilarityScorer, psnr, ssim
from evals.scoring import Sample, ScorerError
from tests.evals.judging import damaged, scenes
from tests.evals.tiny_vision import write_dino
from workbench.nano.render import render


def noise(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def sample(picture: Image.Image, **fields: Any) -> Sample:
    return Sample(picture, "", "", **fields)


def test_psnr_is_its_formula() -> None:
    gray, other = Image.new("RGB", (20, 20), (100, 100, 100)), Image.new("RGB", (20, 20), (110, 100, 100))
    assert psnr(gray, other) == pytest.approx(10 * math.log10(255**2 / (100 / 3)))
    assert psnr(gray, gray) == 100
    assert psnr(Image.new("RGB", (9, 9), "black"), Image.new("RGB", (9, 9), "white")) == 0


def test_ssim_is_that_of_the_paper() -> None:
    """Against the formula with an 11x11 Gaussian window, away from the border."""
    from scipy.ndimage import gaussian_filter

    first = noise(1).convert("L").convert("RGB")
    second = Image.blend(first, noise(2).convert("L").convert("RGB"), 0.3)
    x, y = (np.asarray(each.convert("L"), dtype=np.float64) for each in (first, second))

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(values, 1.5, truncate=3.5))

    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim(first, second) == pytest.approx(float(values[5:-5, 5:-5].mean()), abs=1e-6)
    assert ssim(first, first) == pytest.approx(1)


def test_pictures_of_two_sizes_are_refused_not_scaled() -> None:
    with pytest.raises(AskError, match="64x48 and its reference 32x32"):
        psnr(noise(1), noise(1, (32, 32)))
    scores = SimilarityScorer().score(
        [
            sample(noise(1), references=(noise(1, (32, 32)),)),
            sample(noise(1), references=(noise(1),)),
            sample(noise(1)),
        ]
    )
    assert "Make both in one size" in scores[0].error
    assert scores[1].values == {"ssim": pytest.approx(1), "psnr": 100}
    assert set(scores[2].values.values()) == {None}
    assert (
        "at least 11 pixels"
        in SimilarityScorer().score([sample(noise(1, (8, 8)), references=(noise(2, (8, 8)),))])[0].error
    )


def test_diversity_is_the_mean_over_the_other_seeds() -> None:
    a, b, c = noise(1), noise(2), noise(3)
    scores = DiversityScorer().score([sample(a, peers=(b, c)), sample(a), sample(a, peers=(a, a))])
    assert scores[0].values["unlike"] == pytest.approx(1 - (ssim(a, b) + ssim(a, c)) / 2)
    assert scores[0].values["lab_distance"] == pytest.approx((lab_distance(a, b) + lab_distance(a, c)) / 2)
    assert set(scores[1].values.values()) == {None}
    assert scores[2].values == {"unlike": pytest.approx(0), "lab_distance": 0}
    black, white = Image.new("RGB", (20, 20), "black"), Image.new("RGB", (20, 20), "white")
    assert lab_distance(black, white) == pytest.approx(100, abs=1e-3)


def test_cost_is_what_the_run_noted() -> None:
    scores = CostScorer().score(
        [
            sample(noise(1), cost={"seconds": 1.5, "gigabytes": 8.0, "price": 0.01}),
            sample(noise(1), cost={"seconds": 2.0}),
            sample(noise(1), cost={"seconds": -1.0}),
            sample(noise(1), cost={"price": float("nan")}),
        ]
    )
    assert scores[0].values == {"seconds": 1.5, "gigabytes": 8.0, "price": 0.01}
    assert scores[1].values == {"seconds": 2.0, "gigabytes": None, "price": None}
    assert "impossible" in scores[2].error
    assert "impossible" in scores[3].error


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425), ((50, 2.5, 0), (73, 25, -18), 27.1492),
     ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
     ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082)],
)  # fmt: skip
def test_ciede2000_meets_the_published_pairs(
    first: tuple[float, ...], second: tuple[float, ...], expected: float
) -> None:
    assert delta_e(np.array(first), np.array(second)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("code", ["1f77b4", "#1f77b", "#1f77b4ff", "blue", "#12345g"])
def test_what_is_no_hex_colour_is_refused(code: str) -> None:
    with pytest.raises(AskError, match="no HEX colour"):
        lab_of(code)


def test_hex_colours_of_rendered_shapes() -> None:
    near, missed = [], []
    for index, scene in enumerate(scenes(24, seed=77, kinds=("hex",))):
        (item,) = scene.items
        ask = {"objects": [{"class": item.shape}], "colour": item.colour}
        pixels = render(scene)
        other = "#{:02x}{:02x}{:02x}".format(*(255 - value for value in bytes.fromhex(item.colour[1:])))
        near += [sample(Image.fromarray(each), ask=ask) for each in (pixels, damaged(pixels, index))]
        if delta_e(lab_of(other), lab_of(item.colour)) > 15:  # the negative of a gray is a gray
            missed.append(sample(Image.fromarray(pixels), ask=ask | {"colour": other}))
    scores = HexColour().score(near)
    assert [score.values["near"] for score in scores] == [1.0] * len(near)
    assert max(score.values["delta_e"] or 0 for score in scores[::2]) < 1
    assert [score.values["near"] for score in HexColour().score(missed)] == [0.0] * len(missed)


def test_hex_colours_elsewhere() -> None:
    picture = Image.new("RGB", (100, 100), "#4c78a8")
    picture.paste("#e45756", (40, 40, 60, 60))
    background = {"colour": "#4c78a8", "colour_of": "background"}
    anywhere = {"colour": "#e45756"}
    dot = {"colour": "#54a24b"}
    missing = {"colour": "#e45756", "objects": [{"class": "heart"}]}
    scores = HexColour().score([sample(picture, ask=ask) for ask in (background, anywhere, dot, missing, {})])
    assert [score.values["near"] for score in scores] == [1, 1, 0, 0, None]
    assert scores[0].values["delta_e"] == pytest.approx(0, abs=0.5)
    assert scores[3].values["delta_e"] is None
    picture.paste("#54a24b", (0, 0, 5, 5))  # a quarter of a percent is a detail
    assert HexColour().score([sample(picture, ask=dot)])[0].values["near"] == 0
    bad = HexColour().score(
        [sample(picture, ask={"colour": "green"}), sample(picture, ask=anywhere | {"colour_of": "hat"})]
    )
    assert "no HEX colour" in bad[0].error
    assert "does not say" in bad[1].error
    with pytest.raises(ScorerError, match="Choose one of"):
        HexColour("somewhere")


def write_lpips(path: Path, channels: tuple[int, ...], *, style: str) -> dict[str, torch.Tensor]:
    """Random AlexNet of so many channels, with heads."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}
    before = 3
    for index, (number, size, width) in enumerate(zip((0, 3, 6, 8, 10), (11, 5, 3, 3, 3), channels, strict=True)):
        name = f"features.{number}" if style == "torchvision" else f"net.slice{index + 1}.{number}"
        tensors[f"{name}.weight"] = torch.randn(width, before, size, size) / (before * size**2) ** 0.5
        tensors[f"{name}.bias"] = torch.randn(width) * 0.1
        tensors[f"lin{index}.model.1.weight"] = torch.rand(1, width, 1, 1)
        before = width
    save_file(tensors, path)
    return tensors


def test_lpips_is_its_formula(tmp_path: Path) -> None:
    """A tiny net, layer by layer in numpy."""
    from scipy.signal import correlate

    tensors = write_lpips(tmp_path / "tiny.safetensors", (3, 4, 5, 4, 3), style="torchvision")
    pictures = [noise(seed, (64, 48)) for seed in (1, 2)]
    net = Lpips(tmp_path / "tiny.safetensors", device="cpu")
    shift, scale = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    layers = [((np.asarray(p, dtype=np.float64) / 127.5 - 1 - shift) / scale).transpose(2, 0, 1) for p in pictures]
    expected = 0.0
    for index, (number, stride, padding) in enumerate(((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1))):
        weight, bias, head = (
            tensors[name].double().numpy()
            for name in (f"features.{number}.weight", f"features.{number}.bias", f"lin{index}.model.1.weight")
        )
        found = []
        for x in layers:
            if number in {3, 6}:
                windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2]
                x = windows.max(axis=(-2, -1))  # noqa: PLW2901  # the pooled layer takes the place of the layer
            padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
            y = np.stack([correlate(padded, kernel, mode="valid")[0] for kernel in weight]) + bias[:, None, None]
            found.append(np.maximum(y[:, ::stride, ::stride], 0))
        layers = found
        unit = [y / np.sqrt(1e-8 + (y**2).sum(axis=0, keepdims=True)) for y in layers]
        expected += float(((unit[0] - unit[1]) ** 2 * head[0, :, :1]).sum(axis=0).mean())
    assert net.distance(*pictures) == pytest.approx(expected, rel=1e-4)
    assert net.distance(pictures[0], pictures[0]) == 0


def test_lpips_is_that_of_torchmetrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real widths and the published heads; only AlexNet's own weights are random."""
    from safetensors.torch import save_file
    from torch import nn
    from torchmetrics.functional.image import lpips as theirs

    tensors = write_lpips(tmp_path / "alex.safetensors", (64, 192, 384, 256, 256), style="torchvision")
    relu = nn.ReLU
    features = nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), relu(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), relu(),
        nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), relu(), nn.Conv2d(384, 256, 3, padding=1), relu(),
        nn.Conv2d(256, 256, 3, padding=1), relu(), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    features.load_state_dict(
        {name.removeprefix("features."): value for name, value in tensors.items() if "features" in name}
    )
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda *_: features)
    model = theirs._LPIPS(pretrained=True, net="alex", pnet_rand=True)
    heads = {
        f"lin{index}.model.1.weight": model.state_dict()[f"lin{index}.model.1.weight"].clone() for index in range(5)
    }
    save_file(tensors | heads, tmp_path / "alex.safetensors")
    first, second = noise(1), Image.blend(noise(1), noise(2), 0.4)
    a, b = (torch.from_numpy(np.array(each)).permute(2, 0, 1)[None] / 127.5 - 1 for each in (first, second))
    with torch.no_grad():
        expected = model(a, b).item()
    assert expected > 1e-3
    assert Lpips(tmp_path / "alex.safetensors", device="cpu").distance(first, second) == pytest.approx(
        expected, rel=1e-4
    )


def test_lpips_takes_both_ways_of_naming_and_says_what_is_missing(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    values = []
    for style in ("torchvision", "lpips"):
        write_lpips(tmp_path / f"{style}.safetensors", (3, 4, 5, 4, 3), style=style)
        scorer = LpipsScorer(tmp_path / f"{style}.safetensors", device="cpu")
        first, second, third = scorer.score(
            [
                sample(noise(1), references=(noise(2),)),
                sample(noise(1)),
                sample(noise(1, (20, 20)), references=(noise(2, (20, 20)),)),
            ]
        )
        values.append(first.values["lpips"])
        assert second.values == {"lpips": None}
        assert "at least 32 pixels" in third.error
    assert values[0] == values[1]
    tensors = load_file(tmp_path / "lpips.safetensors")
    del tensors["lin3.model.1.weight"]
    save_file(tensors, tmp_path / "part.safetensors")
    with pytest.raises(ScorerError, match=r"no tensor 'lin3\.model\.1\.weight'"):
        Lpips(tmp_path / "part.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"broken")
    with pytest.raises(ScorerError, match="cannot be read"):
        Lpips(tmp_path / "broken.safetensors")
    with pytest.raises(ScorerError, match=r"docs/adherence\.md"):
        LpipsScorer()
    with pytest.raises(ScorerError, match="there is no file"):
        LpipsScorer(tmp_path / "absent.safetensors")


def test_dino_is_the_cosine_of_first_tokens(tmp_path: Path) -> None:
    from transformers import AutoImageProcessor, AutoModel

    folder = write_dino(tmp_path / "dino")
    pictures = [noise(seed) for seed in range(3)]
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(images=pictures, return_tensors="pt")[
        "pixel_values"
    ]
    with torch.no_grad():
        first = AutoModel.from_pretrained(folder).eval()(pixel_values=pixels).last_hidden_state[:, 0]
    cosines = torch.nn.functional.cosine_similarity(first[:1], first[1:]).tolist()
    scores = DinoScorer(folder, device="cpu").score(
        [
            sample(pictures[0], references=tuple(pictures[1:])),
            sample(pictures[0]),
            sample(pictures[1], references=(pictures[1],)),
        ]
    )
    assert scores[0].values["dino"] == pytest.approx(sum(cosines) / 2, abs=1e-5)
    assert scores[1].values["dino"] is None
    assert scores[2].values["dino"] == pytest.approx(1, abs=1e-5)
    unlike = DinoDiversity(folder, device="cpu").score([sample(pictures[0], peers=tuple(pictures[1:]))])[0]
    assert unlike.values["unlike_dino"] == pytest.approx(1 - sum(cosines) / 2, abs=1e-5)
