"""Multipliers of an adapter's weight for single blocks of the transformer: `{"double.0-3": 0.5, "single": 0}`.

A key names a stack of blocks (`double` and `single`; FLUX.3: `image`, `image_cond`, `text`, `single`), with a number or
a range behind a dot, or `rest` for the layers outside all blocks. Blocks that no key names keep the multiplier 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

STACKS = ("double", "single", "image", "image_cond", "text", "rest")
MOST = 256  # blocks in a range; the deepest published transformer has 48
_KEY = re.compile(rf"({'|'.join(sorted(STACKS, key=len, reverse=True))})(?:\.(\d{{1,3}})(?:-(\d{{1,3}}))?)?")


def spread(blocks: Mapping[str, float]) -> dict[str, float]:
    """The same multipliers with one key for each block, sorted; multipliers of 1 vanish unless they make an exception.

    Raises:
        ValueError: a key that names no blocks, a block that two keys name, a multiplier outside -10 to 10.
    """
    found: dict[str, float] = {}
    whole: dict[str, float] = {}
    for key, value in blocks.items():
        match = _KEY.fullmatch(key)
        if match is None or (match[1] == "rest" and match[2]):
            raise ValueError(f"{key!r} names no blocks: write double, single.5 or double.0-3")
        if not -10 <= value <= 10:
            raise ValueError(f"the multiplier {value} of {key!r} is outside -10 to 10")
        if match[2] is None:
            whole[key] = float(value)
            continue
        first, last = int(match[2]), int(match[3] or match[2])
        if last < first or last - first >= MOST:
            raise ValueError(f"the range of {key!r} is empty or too long")
        for number in range(first, last + 1):
            name = f"{match[1]}.{number}"
            if name in found:
                raise ValueError(f"the block {name} has two multipliers")
            found[name] = float(value)
    single = {name: value for name, value in found.items() if value != whole.get(name.partition(".")[0], 1.0)}
    return dict(sorted((single | {name: value for name, value in whole.items() if value != 1}).items(), key=_order))


def multiplier(blocks: Mapping[str, float], layer: str, block: str) -> float:
    """What a layer of the original code counts with.

    Args:
        blocks: as `spread` gives them.
        layer: its name there, `#` for the number of its block.
        block: that number, or ''.
    """
    stack = stack_of(layer) if block else "rest"
    return blocks.get(f"{stack}.{block}", blocks.get(stack, 1.0))


def stack_of(layer: str) -> str:
    """The stack of an original layer's name with `#` for its number."""
    head = layer.partition(".#")[0]
    names = {
        "double_blocks": "double",
        "single_blocks": "single",
        "content_mode_blocks.image": "image",
        "content_mode_blocks.image_cond": "image_cond",
        "txt_mode_blocks": "text",
    }
    return names.get(head, "rest")


def _order(pair: tuple[str, float]) -> tuple[str, int]:
    stack, _, number = pair[0].partition(".")
    return stack, int(number or -1)
