"""The linear layers of each FLUX architecture under both of their names: diffusers' and the original code's.

One table drives every conversion in both directions. `#` stands for the number of a block. A layer that the original
code keeps fused (queries, keys and values in one matrix) names its parts in the order of their rows.

Sources: `Flux2LoraLoaderMixin`, `Flux3LoraLoaderMixin` and `convert_flux3_transformer_checkpoint_to_diffusers` of
diffusers 0.42, and the modules of the black-forest-labs repositories `flux` and `flux2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

_NUMBER = re.compile(r"(?<=[._])\d+(?=[._])")


@dataclass(frozen=True, slots=True)
class Layer:
    """One linear layer of the original code.

    Attributes:
        original: its name there.
        parts: diffusers' modules that make it up, in the order of its output rows; one, unless it is fused.
        shares: output rows of each part, as multiples of the smallest.
        swapped: diffusers keeps the halves of its output rows (shift, scale) in the other order.
    """

    original: str
    parts: tuple[str, ...]
    shares: tuple[int, ...] = (1,)
    swapped: bool = False

    @property
    def fused(self) -> bool:
        """Whether diffusers splits it."""
        return len(self.parts) > 1


@dataclass(frozen=True, slots=True)
class Place:
    """A layer of one block, or one part of it."""

    layer: Layer
    block: str  # block number, or empty
    part: int | None = None  # index into `layer.parts`; None: the whole original layer

    def diffusers(self) -> tuple[str, ...]:
        """Names of the diffusers modules that this place covers."""
        parts = self.layer.parts if self.part is None else (self.layer.parts[self.part],)
        return tuple(part.replace("#", self.block) for part in parts)

    def original(self) -> str:
        """Name of the original layer that this place is, or is part of."""
        return self.layer.original.replace("#", self.block)


@dataclass(frozen=True, slots=True)
class Size:
    """A published transformer."""

    title: str
    double: int  # double blocks (FLUX.3: blocks per mode)
    single: int  # single blocks


@dataclass(frozen=True, eq=False)  # the three there are are compared by identity
class Architecture:
    """All linear layers of one architecture."""

    name: str
    title: str
    transformer: str  # diffusers' class
    sizes: Mapping[int, Size]  # published ones by hidden width
    layers: tuple[Layer, ...]

    def published(self, width: int | None) -> str:
        """The published model of this width, or the architecture with its width, for sentences."""
        if width is None:
            return self.title
        return self.sizes[width].title if width in self.sizes else f"{self.title} of width {width}"

    def find(self, module: str) -> Place | None:
        """The place of a diffusers module."""
        kind, block = split_number(module)
        found = self._by_part.get(kind)
        return None if found is None else Place(found[0], block, found[1])

    def find_flat(self, module: str) -> Place | None:
        """The place of a diffusers module whose dots became underscores."""
        kind, block = split_number(module)
        found = self._by_flat_part.get(kind)
        return None if found is None else Place(found[0], block, found[1])

    def find_original(self, module: str) -> Place | None:
        """The place of a layer, or of a numbered part of a fused one (`...qkv.0`), in the original's naming."""
        kind, block = split_number(module)
        if kind in self._by_original:
            return Place(self._by_original[kind], block)
        stem, _, index = kind.rpartition(".")
        layer = self._by_original.get(stem)
        if layer is None or not layer.fused or not index.isdigit() or int(index) >= len(layer.parts):
            return None
        return Place(layer, block, int(index))

    def find_flat_original(self, module: str) -> Place | None:
        """The place of an original layer whose dots became underscores."""
        kind, block = split_number(module)
        layer = self._by_flat_original.get(kind)
        return None if layer is None else Place(layer, block)

    @cached_property
    def _by_part(self) -> Mapping[str, tuple[Layer, int]]:
        return {part: (layer, index) for layer in self.layers for index, part in enumerate(layer.parts)}

    @cached_property
    def _by_flat_part(self) -> Mapping[str, tuple[Layer, int]]:
        return {part.replace(".", "_"): found for part, found in self._by_part.items()}

    @cached_property
    def _by_original(self) -> Mapping[str, Layer]:
        return {layer.original: layer for layer in self.layers}

    @cached_property
    def _by_flat_original(self) -> Mapping[str, Layer]:
        return {layer.original.replace(".", "_"): layer for layer in self.layers}


def split_number(module: str) -> tuple[str, str]:
    """A module's name with `#` for its block number, and the number: the first that stands between separators."""
    match = _NUMBER.search(module)
    if match is None:
        return module, ""
    return f"{module[: match.start()]}#{module[match.end() :]}", match.group()


def _same(names: Mapping[str, str]) -> tuple[Layer, ...]:
    return tuple(Layer(original, (diffusers,)) for original, diffusers in names.items())


def _double(feed_in: str, feed_out: str) -> tuple[Layer, ...]:
    """The layers of a double block; the two names are those of the feed-forward's linear layers in diffusers."""
    block, old = "transformer_blocks.#", "double_blocks.#"
    return (
        Layer(f"{old}.img_attn.qkv", tuple(f"{block}.attn.to_{each}" for each in "qkv"), (1, 1, 1)),
        Layer(f"{old}.txt_attn.qkv", tuple(f"{block}.attn.add_{each}_proj" for each in "qkv"), (1, 1, 1)),
        Layer(f"{old}.img_attn.proj", (f"{block}.attn.to_out.0",)),
        Layer(f"{old}.txt_attn.proj", (f"{block}.attn.to_add_out",)),
        Layer(f"{old}.img_mlp.0", (f"{block}.ff.{feed_in}",)),
        Layer(f"{old}.img_mlp.2", (f"{block}.ff.{feed_out}",)),
        Layer(f"{old}.txt_mlp.0", (f"{block}.ff_context.{feed_in}",)),
        Layer(f"{old}.txt_mlp.2", (f"{block}.ff_context.{feed_out}",)),
    )


_ENDS = (
    *_same({"img_in": "x_embedder", "txt_in": "context_embedder", "final_layer.linear": "proj_out"}),
    Layer("final_layer.adaLN_modulation.1", ("norm_out.linear",), swapped=True),
)


def _embedders(names: Mapping[str, str]) -> tuple[Layer, ...]:
    return _same(
        {
            f"{original}.{old}_layer": f"{diffusers}.linear_{number}"
            for original, diffusers in names.items()
            for number, old in ((1, "in"), (2, "out"))
        }
    )


FLUX1 = Architecture(
    "flux1",
    "FLUX.1",
    "FluxTransformer2DModel",
    MappingProxyType({3072: Size("FLUX.1", 19, 38)}),
    (
        *_double("net.0.proj", "net.2"),
        *_same(
            {
                "double_blocks.#.img_mod.lin": "transformer_blocks.#.norm1.linear",
                "double_blocks.#.txt_mod.lin": "transformer_blocks.#.norm1_context.linear",
                "single_blocks.#.linear2": "single_transformer_blocks.#.proj_out",
                "single_blocks.#.modulation.lin": "single_transformer_blocks.#.norm.linear",
            }
        ),
        Layer(
            "single_blocks.#.linear1",
            tuple(
                f"single_transformer_blocks.#.{each}" for each in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
            ),
            (1, 1, 1, 4),
        ),
        *_embedders(
            {
                "time_in": "time_text_embed.timestep_embedder",
                "vector_in": "time_text_embed.text_embedder",
                "guidance_in": "time_text_embed.guidance_embedder",
            }
        ),
        *_ENDS,
    ),
)

FLUX2 = Architecture(
    "flux2",
    "FLUX.2",
    "Flux2Transformer2DModel",
    MappingProxyType(
        {
            3072: Size("FLUX.2 [klein] 4B", 5, 20),
            4096: Size("FLUX.2 [klein] 9B", 8, 24),
            6144: Size("FLUX.2 [dev]", 8, 48),
        }
    ),
    (
        *_double("linear_in", "linear_out"),
        *_same(
            {
                "single_blocks.#.linear1": "single_transformer_blocks.#.attn.to_qkv_mlp_proj",
                "single_blocks.#.linear2": "single_transformer_blocks.#.attn.to_out",
                "single_stream_modulation.lin": "single_stream_modulation.linear",
                "double_stream_modulation_img.lin": "double_stream_modulation_img.linear",
                "double_stream_modulation_txt.lin": "double_stream_modulation_txt.linear",
            }
        ),
        *_embedders(
            {
                "time_in": "time_guidance_embed.timestep_embedder",
                "guidance_in": "time_guidance_embed.guidance_embedder",
            }
        ),
        *_ENDS,
    ),
)

_FLUX3_BLOCKS = {
    "content_mode_blocks.image.#": "mode_blocks.image.#",
    "content_mode_blocks.image_cond.#": "mode_blocks.image_cond.#",
    "txt_mode_blocks.#": "txt_mode_blocks.#",
    "single_blocks.#": "single_transformer_blocks.#",
}
_FLUX3_LAYERS = {
    "q_proj": "attn.to_q",
    "k_proj": "attn.to_k",
    "v_proj": "attn.to_v",
    "attn_out": "attn.to_out.0",
    "mlp_in": "ff.linear_in",
    "mlp_out": "ff.linear_out",
}

FLUX3 = Architecture(
    "flux3",
    "FLUX.3",
    "Flux3Transformer2DModel",
    MappingProxyType({3072: Size("FLUX.3 [klein]", 5, 28)}),
    (
        *_same(
            {
                f"{old}.{layer}": f"{new}.{name}"
                for old, new in _FLUX3_BLOCKS.items()
                for layer, name in _FLUX3_LAYERS.items()
            }
        ),
        *_same(
            {
                f"{stage}_stream_modulations.{mode}.lin": f"{stage}_stream_modulations.{mode}.linear"
                for stage in ("early", "single")
                for mode in ("image", "image_cond", "txt")
            }
        ),
        *_same(
            {
                "emb_in.image": "x_embedders.image",
                "emb_in.image_cond": "x_embedders.image_cond",
                "txt_in": "context_embedder",
                "final_layer.image.linear": "proj_out",
            }
        ),
        *_embedders({"time_in": "timestep_embedder", "ref_time_in": "target_timestep_embedder"}),
        Layer("final_layer.image.adaLN_modulation.1", ("norm_out.linear",), swapped=True),
    ),
)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({each.name: each for each in (FLUX1, FLUX2, FLUX3)})
"""Every architecture whose adapters can be converted, by name."""


def architecture_of(modules: Iterable[str]) -> Architecture | None:
    """The architecture that a transformer's own diffusers module names belong to: the one that knows most of them.

    None when no name is known, or when two architectures know equally many.
    """
    names = list(modules)
    known = sorted(
        ((sum(each.find(name) is not None for name in names), each) for each in ARCHITECTURES.values()),
        key=lambda pair: -pair[0],
    )
    (first, best), (second, _) = known[:2]
    return best if first > second else None
