# ruff: noqa: C901, E501 - tables of names and shapes, read line by line
"""Names of the original single files: FLUX.1, FLUX.2, the autoencoder and the U-Net of latent diffusion."""

from __future__ import annotations

import re

from scripts.layouts.names import Shapes, linear


def flux1(
    *, channels: int = 64, guidance: bool = True, double: int = 19, single: int = 38, width: int = 3072
) -> Shapes:
    """`flux.model.Flux` of github.com/black-forest-labs/flux."""
    found = linear("img_in", width, channels) | linear("txt_in", width, 4096)
    for name, inputs in [("time_in", 256), ("vector_in", 768), *([("guidance_in", 256)] if guidance else [])]:
        found |= linear(f"{name}.in_layer", width, inputs) | linear(f"{name}.out_layer", width, width)
    for block in range(double):
        for stream in ("img", "txt"):
            stem = f"double_blocks.{block}.{stream}"
            found |= linear(f"{stem}_mod.lin", 6 * width, width)
            found |= linear(f"{stem}_attn.qkv", 3 * width, width)
            found |= {f"{stem}_attn.norm.{each}_norm.scale": (128,) for each in ("query", "key")}
            found |= linear(f"{stem}_attn.proj", width, width)
            found |= linear(f"{stem}_mlp.0", 4 * width, width) | linear(f"{stem}_mlp.2", width, 4 * width)
    for block in range(single):
        stem = f"single_blocks.{block}"
        found |= linear(f"{stem}.linear1", 7 * width, width) | linear(f"{stem}.linear2", width, 5 * width)
        found |= {f"{stem}.norm.{each}_norm.scale": (128,) for each in ("query", "key")}
        found |= linear(f"{stem}.modulation.lin", 3 * width, width)
    return found | linear("final_layer.linear", 64, width) | linear("final_layer.adaLN_modulation.1", 2 * width, width)


def flux2(width: int, double: int, single: int, text: int, *, guidance: bool = False) -> Shapes:
    """`flux2.model.Flux2` of github.com/black-forest-labs/flux2: no biases, modulation shared by all blocks."""
    found = linear("img_in", width, 128, bias=False) | linear("txt_in", width, text, bias=False)
    for name in ("time_in", *(["guidance_in"] if guidance else [])):
        found |= linear(f"{name}.in_layer", width, 256, bias=False) | linear(
            f"{name}.out_layer", width, width, bias=False
        )
    for name, parts in (
        ("double_stream_modulation_img", 6), ("double_stream_modulation_txt", 6), ("single_stream_modulation", 3),
    ):  # fmt: skip
        found |= linear(f"{name}.lin", parts * width, width, bias=False)
    for block in range(double):
        for stream in ("img", "txt"):
            stem = f"double_blocks.{block}.{stream}"
            found |= linear(f"{stem}_attn.qkv", 3 * width, width, bias=False)
            found |= {f"{stem}_attn.norm.{each}_norm.scale": (128,) for each in ("query", "key")}
            found |= linear(f"{stem}_attn.proj", width, width, bias=False)
            found |= linear(f"{stem}_mlp.0", 6 * width, width, bias=False)
            found |= linear(f"{stem}_mlp.2", width, 3 * width, bias=False)
    for block in range(single):
        stem = f"single_blocks.{block}"
        found |= linear(f"{stem}.linear1", 9 * width, width, bias=False)
        found |= linear(f"{stem}.linear2", width, 4 * width, bias=False)
        found |= {f"{stem}.norm.{each}_norm.scale": (128,) for each in ("query", "key")}
    found |= linear("final_layer.linear", 128, width, bias=False)
    return found | linear("final_layer.adaLN_modulation.1", 2 * width, width, bias=False)


def ldm_vae(latent: int, *, bn: bool, quant: bool) -> Shapes:
    """The autoencoder of latent diffusion, 128-256-512-512, as `ae.safetensors` names it."""
    widths, found = (128, 256, 512, 512), {}

    def conv(name: str, rows: int, columns: int, size: int = 3) -> None:
        found.update({f"{name}.weight": (rows, columns, size, size), f"{name}.bias": (rows,)})

    def norm(name: str, size: int) -> None:
        found.update({f"{name}.weight": (size,), f"{name}.bias": (size,)})

    def block(name: str, rows: int, columns: int) -> None:
        norm(f"{name}.norm1", columns)
        conv(f"{name}.conv1", rows, columns)
        norm(f"{name}.norm2", rows)
        conv(f"{name}.conv2", rows, rows)
        if rows != columns:
            conv(f"{name}.nin_shortcut", rows, columns, 1)

    def middle(name: str) -> None:
        block(f"{name}.block_1", 512, 512)
        norm(f"{name}.attn_1.norm", 512)
        for each in ("q", "k", "v", "proj_out"):
            conv(f"{name}.attn_1.{each}", 512, 512, 1)
        block(f"{name}.block_2", 512, 512)

    conv("encoder.conv_in", 128, 3)
    before = 128
    for level, width in enumerate(widths):
        for number in range(2):
            block(f"encoder.down.{level}.block.{number}", width, before)
            before = width
        if level < 3:
            conv(f"encoder.down.{level}.downsample.conv", width, width)
    middle("encoder.mid")
    norm("encoder.norm_out", 512)
    conv("encoder.conv_out", 2 * latent, 512)
    conv("decoder.conv_in", 512, latent)
    middle("decoder.mid")
    before = 512
    for level in (3, 2, 1, 0):
        for number in range(3):
            block(f"decoder.up.{level}.block.{number}", widths[level], before)
            before = widths[level]
        if level:
            conv(f"decoder.up.{level}.upsample.conv", before, before)
    norm("decoder.norm_out", 128)
    conv("decoder.conv_out", 3, 128)
    if quant:
        conv("quant_conv" if not bn else "encoder.quant_conv", 2 * latent, 2 * latent, 1)
        conv("post_quant_conv" if not bn else "decoder.post_quant_conv", latent, latent, 1)
    if bn:
        found |= {"bn.running_mean": (4 * latent,), "bn.running_var": (4 * latent,), "bn.num_batches_tracked": ()}
    return found


def ldm_unet(shapes: Shapes) -> Shapes:
    """The original's names of a U-Net: numbered blocks in place of down, mid and up.

    Only the names that matter for telling it apart are renamed exactly; block numbers follow the original's counting.
    """
    per = 3  # a level of the original: two blocks and the change of size
    found: Shapes = {}
    ends = {
        "conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
        "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2", "conv_norm_out": "out.0", "conv_out": "out.2",
    }  # fmt: skip
    inner = {
        "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
        "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
    }  # fmt: skip

    def resnet(rest: str) -> str:
        module, _, leaf = rest.rpartition(".")
        return f"{inner[module]}.{leaf}"

    for name, shape in shapes.items():
        module, _, leaf = name.rpartition(".")
        part = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name)
        middle = re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name)
        if module in ends:
            new = f"{ends[module]}.{leaf}"
        elif middle:
            what, number, rest = middle.groups()
            new = f"middle_block.{1 if what == 'attentions' else 2 * int(number)}.{rest if what == 'attentions' else resnet(rest)}"
        elif part:
            side, level, what, number, rest = part.groups()
            down = side == "down"
            if what == "downsamplers":
                new = f"input_blocks.{per * (int(level) + 1)}.0.op.{leaf}"
            elif what == "upsamplers":
                attended = any(key.startswith(f"up_blocks.{level}.attentions.") for key in shapes)
                new = f"output_blocks.{per * int(level) + 2}.{2 if attended else 1}.conv.{leaf}"
            else:
                place = per * int(level) + int(number) + (1 if down else 0)
                stem = f"{'input' if down else 'output'}_blocks.{place}"
                new = f"{stem}.1.{rest}" if what == "attentions" else f"{stem}.0.{resnet(rest)}"
        else:
            raise ValueError(name)
        found[new] = shape
    return found
