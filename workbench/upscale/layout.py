"""What an upscaler's file is, from names and shapes alone: its network, its scale, and its tensors under our names.

Two networks are known. RRDBNet (Wang et al. 2018, ESRGAN; Wang et al. 2021, Real-ESRGAN, which feeds it smaller pictures
with more channels) comes under three sets of names: the first release ("model.1.sub.0.RDB1.conv1.0.weight", most
community models), the paper's code ("RRDB_trunk.0.RDB1.conv1.weight", BSRGAN) and BasicSR ("body.0.rdb1.conv1.weight").
The compact network of Real-ESRGAN (SRVGGNetCompact) has one: "body.0.weight". No torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.errors import WorkbenchError
from workbench.models.checkpoint import read_header

PREFIXES = ("params_ema.", "params.", "module.", "state_dict.", "generator.")
MAX_SCALE = 16


class UpscaleError(WorkbenchError):
    """A picture cannot be upscaled: an unknown upscaler, weights that are none, a scale or size out of range."""

    code = "WB120"


@dataclass(frozen=True, slots=True)
class Layout:
    """One upscaler, as its file's header describes it."""

    network: Literal["rrdb", "compact"]
    scale: int  # output side over input side
    features: int  # channels inside
    growth: int  # channels that a dense layer adds; 0 for the compact network
    blocks: int  # RRDBs, or convolutions between the first and the last
    doublings: int  # nearest-neighbour doublings at the end of RRDBNet
    unshuffle: int  # side of the squares of pixels that become channels at the start
    names: Mapping[str, str]  # our tensor name -> the file's


def identify(path: Path) -> Layout:
    """The layout of a safetensors file.

    Raises:
        ModelError: a pickle, or a file that is cut short.
        UpscaleError: not a known upscaler.
    """
    shapes = {name: tuple(int(size) for size in entry["shape"]) for name, entry in read_header(path).items()}
    try:
        return of_shapes(shapes)
    except UpscaleError as error:
        raise UpscaleError(f"{str(path)!r} cannot be used: {error.message}", error.remedy) from None


def of_shapes(shapes: Mapping[str, tuple[int, ...]]) -> Layout:
    """The layout of tensors by name and shape.

    Raises:
        UpscaleError: not a known upscaler.
    """
    plain = {_plain(name): name for name in shapes}
    if len(plain) != len(shapes):
        raise UpscaleError("It holds two sets of weights.", "Keep the averaged set, params_ema, alone.")
    sizes = {short: shapes[name] for short, name in plain.items()}
    if any(name.startswith(("model.1.sub.", "RRDB_trunk.")) or ".rdb1." in name for name in sizes):
        names = _rrdb_names(sizes)
        return _rrdb({ours: sizes[theirs] for ours, theirs in names.items()}, _through(names, plain))
    if "body.0.weight" in sizes:
        return _compact(sizes, plain)
    raise UpscaleError(
        f"Its {len(shapes)} tensors are those of no known upscaler.",
        "Known are ESRGAN, Real-ESRGAN, BSRGAN and the compact network of Real-ESRGAN.",
    )


def _plain(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _through(names: Mapping[str, str], plain: Mapping[str, str]) -> dict[str, str]:
    return {ours: plain[theirs] for ours, theirs in names.items()}


def _rrdb_names(sizes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Our name of every tensor -> its name, the prefix taken off."""
    tops = sorted({int(match[1]) for name in sizes if (match := re.match(r"model\.(\d+)\.", name)) and match[1] != "1"})
    after = tops[1:]  # behind the trunk: the doublings, then two convolutions
    own = {f"model.{number}": f"conv_up{place + 1}" for place, number in enumerate(after[:-2])}
    if tops:
        own |= {"model.0": "conv_first", f"model.{after[-2]}": "conv_hr", f"model.{after[-1]}": "conv_last"}
    own |= {"trunk_conv": "conv_body", "HRconv": "conv_hr", "conv_first": "conv_first", "conv_last": "conv_last"}
    names = {}
    for name in sizes:
        stem, _, kind = name.rpartition(".")
        if match := re.fullmatch(r"(?:model\.1\.sub|RRDB_trunk|body)\.(\d+)\.(?:RDB|rdb)(\d)\.conv(\d)(?:\.0)?", stem):
            ours = f"body.{match[1]}.rdb{match[2]}.conv{match[3]}"
        elif re.fullmatch(r"model\.1\.sub\.\d+", stem):
            ours = "conv_body"
        elif match := re.fullmatch(r"upconv(\d)|conv_up(\d)", stem):
            ours = f"conv_up{match[1] or match[2]}"
        else:
            ours = own.get(stem, stem)
        names[f"{ours}.{kind}"] = name
    if len(names) != len(sizes):
        raise UpscaleError("Two of its tensors have one place in the network.", "Only plain ESRGAN files are known.")
    return names


def _rrdb(sizes: Mapping[str, tuple[int, ...]], names: dict[str, str]) -> Layout:
    blocks = 1 + max(int(match[1]) for name in sizes if (match := re.match(r"body\.(\d+)\.rdb", name)))
    doublings = len({name for name in sizes if re.fullmatch(r"conv_up\d\.weight", name)})
    first, dense = sizes.get("conv_first.weight", ()), sizes.get("body.0.rdb1.conv1.weight", ())
    if len(first) != 4 or len(dense) != 4:
        raise UpscaleError("Its first convolution is missing.", "Download or convert the file again.")
    unshuffle = math.isqrt(first[1] // 3)
    layout = Layout(
        "rrdb", 2**doublings // unshuffle if unshuffle else 0, first[0], dense[0], blocks, doublings, unshuffle, names
    )
    _check(sizes, rrdb_shapes(layout), layout.scale)
    return layout


def _compact(sizes: Mapping[str, tuple[int, ...]], plain: dict[str, str]) -> Layout:
    weights = [name for name in sizes if re.fullmatch(r"body\.\d+\.weight", name)]
    last = 2 * (len(weights) // 2)
    first, end = sizes["body.0.weight"], sizes.get(f"body.{last}.weight", ())
    if len(first) != 4 or len(end) != 4 or "body.1.weight" not in sizes:
        raise UpscaleError(
            "Its activations have no weights of their own, so which they are cannot be told.",
            "Use a compact network with PReLU, as Real-ESRGAN publishes them.",
        )
    layout = Layout("compact", math.isqrt(end[0] // 3), first[0], 0, last // 2 - 1, 0, 1, dict(plain))
    _check(sizes, compact_shapes(layout), layout.scale)
    return layout


def _check(have: Mapping[str, tuple[int, ...]], want: Mapping[str, tuple[int, ...]], scale: int) -> None:
    """Refuse tensors that are missing, unknown or of another shape, by name."""
    wrong = sorted(name for name in have.keys() | want.keys() if have.get(name) != want.get(name))
    if wrong:
        shown = ", ".join(f"{name} {have.get(name, 'missing')}" for name in wrong[:3])
        raise UpscaleError(
            f"{len(wrong)} of its tensors do not fit the network ({shown}).",
            "Only the plain networks with 3 colour channels are known.",
        )
    if not 1 <= scale <= MAX_SCALE:
        raise UpscaleError(f"Its scale is {scale}.", f"Scales are 1 to {MAX_SCALE}.")


def rrdb_shapes(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Every tensor of an RRDBNet by our name."""
    width, growth = layout.features, layout.growth
    convolutions = {
        "conv_first": (width, 3 * layout.unshuffle**2),
        "conv_body": (width, width),
        "conv_hr": (width, width),
        "conv_last": (3, width),
    }
    convolutions |= {f"conv_up{place}": (width, width) for place in range(1, layout.doublings + 1)}
    for block in range(layout.blocks):
        for dense in (1, 2, 3):
            for place in range(1, 6):
                out = growth if place < 5 else width
                convolutions[f"body.{block}.rdb{dense}.conv{place}"] = (out, width + (place - 1) * growth)
    return _with_bias(convolutions)


def compact_shapes(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Every tensor of a compact network."""
    width, count = layout.features, layout.blocks
    convolutions = {"body.0": (width, 3)} | {f"body.{2 * place}": (width, width) for place in range(1, count + 1)}
    convolutions[f"body.{2 * count + 2}"] = (3 * layout.scale**2, width)
    slopes = {f"body.{2 * place + 1}.weight": (width,) for place in range(count + 1)}
    return _with_bias(convolutions) | slopes


def _with_bias(convolutions: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (out, into) in convolutions.items():
        shapes |= {f"{name}.weight": (out, into, 3, 3), f"{name}.bias": (out,)}
    return shapes
