"""What a model family asks of pictures: sides, areas, how many references."""

from __future__ import annotations

from dataclasses import dataclass

from finetune.data.config import DataConfig
from finetune.data.errors import DataConfigError
from workbench.errors import nearest
from workbench.models.families import FAMILIES, Family


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of a family, in pixels."""

    title: str
    multiple: int  # sides are multiples of this
    resolution: int  # what it draws by default
    min_side: int
    max_pixels: int
    references: int  # most reference pictures of an example
    tokens: int  # text tokens read, the template included


def sizes_of(family: Family | Sizes | str) -> Sizes:
    """The sizes of a family, given by its row or its name.

    Raises:
        DataConfigError: there is no family of that name.
    """
    if isinstance(family, Sizes):
        return family
    if isinstance(family, str):
        return _by_name(family)
    return Sizes(
        title=family.title,
        multiple=family.size_multiple,
        resolution=min(family.width, family.height),
        min_side=family.min_side,
        max_pixels=family.max_pixels,
        references=family.max_references,
        tokens=family.max_sequence_length,
    )


def _by_name(name: str) -> Sizes:
    if name not in FAMILIES:
        raise DataConfigError(f"There is no model family {name!r}.", nearest(name, FAMILIES))
    return sizes_of(FAMILIES[name])


def resolutions_of(config: DataConfig, sizes: Sizes) -> tuple[int, ...]:
    """The resolutions to train at, in pixels."""
    return config.resolutions or (sizes.resolution,)


def step_of(config: DataConfig, sizes: Sizes, resolution: int) -> int:
    """Sides of buckets are multiples of this: by default a sixteenth of the resolution, so that buckets stay few."""
    return config.bucket_step or max(sizes.multiple, resolution // 16 // sizes.multiple * sizes.multiple)


def check_sizes(config: DataConfig, sizes: Sizes) -> None:
    """Refuse resolutions and steps that the family cannot do.

    Raises:
        DataConfigError: with the limits of the family.
    """
    for side in resolutions_of(config, sizes):
        if side < sizes.min_side or side * side > sizes.max_pixels:
            raise DataConfigError(
                f"The resolution {side} is out of range for {sizes.title}.",
                f"It does {sizes.min_side} to {int(sizes.max_pixels**0.5)}.",
            )
        if side < step_of(config, sizes, side):
            raise DataConfigError(f"The bucket step is larger than the resolution {side}.", "Make it smaller.")
    if config.bucket_step and config.bucket_step % sizes.multiple:
        raise DataConfigError(
            f"The bucket step {config.bucket_step} is no multiple of {sizes.multiple}.",
            f"{sizes.title} needs sides that are multiples of {sizes.multiple}.",
        )
