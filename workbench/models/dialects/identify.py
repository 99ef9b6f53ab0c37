"""What an adapter file is, from the names and shapes in its header: no tensor is read, whatever the file's size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.models.dialects.layout import ARCHITECTURES, Architecture, Place
from workbench.models.dialects.names import TEXT_ENCODERS, Dialect, Key, place_of, split_key

Kind = Literal["LoRA", "DoRA", "LoKr", "LoHa", "dense"]


@dataclass(frozen=True, slots=True)
class Identity:
    """What the header of an adapter file says.

    Attributes:
        dialect: how its keys are named; None when no key follows a known naming.
        kind: which matrices describe the change; None without any.
        architectures: those it may belong to, most likely first; empty: none that is known.
        width: the transformer's hidden width, where a key shows it.
        ranks: number of modules of each rank.
        modules: layers that it changes, in the file's own spelling.
        text_encoder: keys that change a text encoder; the transformer does not need them.
        unknown: keys that follow no naming, or name no layer of `architectures`.
    """

    dialect: Dialect | None
    kind: Kind | None
    architectures: tuple[Architecture, ...]
    width: int | None
    ranks: Mapping[int, int]
    modules: tuple[str, ...]
    text_encoder: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def title(self) -> str:
        """The published model it seems made for, for sentences."""
        return " or ".join(each.published(self.width) for each in self.architectures) or "an unknown model"


def identify(header: Mapping[str, Mapping[str, Any]], metadata: Mapping[str, str] | None = None) -> Identity:
    """Say what an adapter file is.

    Args:
        header: tensor names with `shape`, as `workbench.models.checkpoint.read_header` gives them.
        metadata: the file's; where names and shapes allow several architectures, it decides.
    """
    keys = {name: key for name in header if (key := split_key(name)) is not None}
    text = tuple(sorted(name for name in header if name.startswith(TEXT_ENCODERS)))
    shapes = {name: tuple(header[name].get("shape", ())) for name in keys}
    architectures = _stated(_architectures(keys, shapes), metadata or {})
    best = architectures[0] if architectures else None
    placed = {name: place_of(key, best) for name, key in keys.items()} if best else {}
    dialects = Counter(key.dialect for key in keys.values())
    unknown = [name for name in header if name not in text and placed.get(name) is None]
    return Identity(
        dialect=dialects.most_common(1)[0][0] if dialects else None,
        kind=_kind({key.part for key in keys.values()}),
        architectures=architectures,
        width=_width(placed, keys, shapes),
        ranks=dict(
            sorted(
                Counter(shapes[name][0] for name, key in keys.items() if key.part == "down" and shapes[name]).items()
            )
        ),
        modules=tuple(dict.fromkeys(key.module for key in keys.values() if key.part != "alpha")),
        text_encoder=text,
        unknown=tuple(sorted(unknown)),
    )


def _kind(parts: set[str]) -> Kind | None:
    if any(part.startswith("lokr") for part in parts):
        return "LoKr"
    if any(part.startswith("hada") for part in parts):
        return "LoHa"
    if "magnitude" in parts:
        return "DoRA"
    if {"down", "up"} & parts:
        return "LoRA"
    return "dense" if "diff" in parts else None


def _architectures(keys: Mapping[str, Key], shapes: Mapping[str, tuple[int, ...]]) -> tuple[Architecture, ...]:
    """Those that know most of the keys and that no shape contradicts."""
    counts = {
        each.name: sum(place_of(key, each) is not None for key in keys.values()) for each in ARCHITECTURES.values()
    }
    most = max(counts.values(), default=0)
    if not most:
        return ()
    best = [each for each in ARCHITECTURES.values() if counts[each.name] == most]
    fitting = [each for each in best if _plausible(each, keys, shapes)]
    return tuple(fitting or best)


def _stated(architectures: tuple[Architecture, ...], metadata: Mapping[str, str]) -> tuple[Architecture, ...]:
    """The one that the metadata names, if it is among them: `flux2_klein_4b`, `Flux.2-klein-4b/lora`, `flux-1-dev`."""
    if len(architectures) < 2:
        return architectures
    said = " ".join(metadata.get(key, "") for key in ("ss_base_model_version", "modelspec.architecture")).lower()
    plain = said.translate(str.maketrans("", "", ".-_ "))
    named = tuple(each for each in architectures if each.name in plain)
    return named if len(named) == 1 else architectures


def _plausible(architecture: Architecture, keys: Mapping[str, Key], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether block numbers, published widths and the widths of the feed-forward layers allow it.

    FLUX.1 widens 4 times; FLUX.2 widens 3 times into two halves (SwiGLU). klein-4B shares its width with FLUX.1, so only
    these tell a file of fused keys of the one from that of the other.
    """
    places = {name: place_of(key, architecture) for name, key in keys.items()}
    width = _width(places, keys, shapes)
    known = architecture.sizes.get(width or 0)
    if known is None and any(width in each.sizes for each in ARCHITECTURES.values()):
        return False
    blocks = {"double": -1, "single": -1}
    for place in places.values():
        if place is not None and place.block:
            stack = "single" if place.layer.original.startswith("single") else "double"
            blocks[stack] = max(blocks[stack], int(place.block))
    if known and (blocks["double"] >= known.double or blocks["single"] >= known.single):
        return False
    return all(_fits(architecture, place, keys[name], shapes[name], width) for name, place in places.items())


def _fits(architecture: Architecture, place: Place | None, key: Key, shape: Sequence[int], width: int | None) -> bool:
    if place is None or width is None or len(shape) != 2 or key.dialect == "xlabs" or architecture.name == "flux3":
        return True
    ratio, gates = (4, 1) if architecture.name == "flux1" else (3, 2)
    # rows and columns of the layers whose shape tells the two apart, as multiples of the width
    known = {
        "img_mlp.0": (ratio * gates, 1),
        "txt_mlp.0": (ratio * gates, 1),
        "img_mlp.2": (1, ratio),
        "txt_mlp.2": (1, ratio),
        "linear1": (3 + ratio * gates, 1),
        "linear2": (1, 1 + ratio),
    }
    layer = place.layer.original.partition(".#.")[2]
    if layer not in known or (place.layer.fused and place.part is not None):
        return True
    rows, columns = known[layer]
    return shape != () and {"up": shape[0] == rows * width, "down": shape[1] == columns * width}.get(key.part, True)


_WIDTH_LAYERS = ("qkv", "linear1", "img_mlp.0", "txt_mlp.0", "q_proj", "k_proj", "v_proj", "mlp_in")


def _width(
    places: Mapping[str, Place | None], keys: Mapping[str, Key], shapes: Mapping[str, tuple[int, ...]]
) -> int | None:
    """Input features of a layer that reads the hidden state."""
    for name, place in places.items():
        shape = shapes[name]
        if place is None or len(shape) != 2:
            continue
        if keys[name].part == "down" and place.layer.original.endswith(_WIDTH_LAYERS):
            return int(shape[1])
        # the output projections write it
        if keys[name].part == "up" and place.layer.original.endswith(
            (".proj", "linear2", "attn_out", "mlp_out", "mlp.2")
        ):
            return int(shape[0])
    return None


def width_of(shapes: Mapping[str, tuple[int, ...]], architecture: Architecture) -> int | None:
    """The hidden width that an adapter's tensors show, by name and shape."""
    keys = {name: key for name in shapes if (key := split_key(name)) is not None}
    return _width({name: place_of(key, architecture) for name, key in keys.items()}, keys, shapes)
