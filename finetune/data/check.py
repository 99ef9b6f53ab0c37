"""Everything that is worth knowing of training data before a run begins."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from PIL import Image

from finetune.data import captions as texts
from finetune.data.config import DataConfig, source_name
from finetune.data.dataset import DEFAULT_FAMILY, BucketRow, bucket_table, hold_out
from finetune.data.duplicates import equal_groups, near_groups
from finetune.data.errors import DataConfigError
from finetune.data.estimate import KNOWN, Architecture, Estimate, architecture_of, estimate, measure_speed
from finetune.data.example import Example, make_example
from finetune.data.problems import Problem, blocking
from finetune.data.scan import Scanned, scan
from finetune.data.sizes import Sizes, check_sizes, resolutions_of, sizes_of
from workbench.errors import nearest
from workbench.models.families import FAMILIES

if TYPE_CHECKING:
    from finetune.data.report import Report
    from workbench.engine.events import CancelToken
    from workbench.models.catalog import Model

MUCH_CUT = 0.8  # pictures of which less than this is kept are named


@dataclass(frozen=True, slots=True)
class Plan:
    """The run that time, memory and disk are estimated for."""

    rank: int = 16
    batch_size: int = 1
    steps: int = 1000
    precision: str = ""  # float32 or bfloat16; empty: what the device prefers
    quant: str = "none"  # how the base's blocks are packed: none, int8, fp8 or nf4


@dataclass(frozen=True)
class Findings:
    """What a check found; `Report` shows it."""

    name: str
    sizes: Sizes
    scanned: Sequence[Scanned]
    examples: Sequence[Example]  # the sound ones, in training and held out
    held_out: Sequence[Example]
    buckets: tuple[BucketRow, ...]
    problems: tuple[Problem, ...]
    estimate: Estimate | None
    not_estimated: str  # why there is no estimate
    longest_caption: int | None  # in tokens; None when there is no tokenizer of the family here
    batch_size: int
    seconds: float
    thumbnails: dict[str, Image.Image] = field(default_factory=dict)


def check(
    config: DataConfig | str,
    *,
    model: Model | str | None = None,
    family: str | None = None,
    plan: Plan | None = None,
    progress: Callable[[int, int], None] | None = None,
    token: CancelToken | None = None,
) -> Report:
    """Look at every picture and caption of `config`.

    Args:
        config: what to check; a text is the path of a single source.
        model: the model that is to be trained: one of the catalog, or the name of a published checkpoint.
        family: its family, where there is no model.
        plan: the run that is estimated.
        progress: called with (pictures done, pictures in all).
        token: asked between pictures whether to stop.

    Raises:
        DataConfigError: the configuration is wrong, or does not go with the family.
        DataError: a source is not there or its metadata is broken.
        Cancelled: `token` said so.
    """
    from finetune.data.report import Report

    began = time.perf_counter()
    config = DataConfig.parse(config) if isinstance(config, str) else config
    plan = plan or Plan()
    sizes = _sizes(model, family)
    check_sizes(config, sizes)
    scanned = scan(config.sources, keep_small=True, progress=progress, token=token)
    problems = blocking(scanned, config, sizes)
    faulty = {identity for problem in problems for identity in problem.pictures}
    examples = [make_example(each, config, sizes) for each in scanned if each.entry.id not in faulty]
    training, held_out, more = _split(examples, config)
    problems += more
    problems += [*_likeness(scanned, {example.id for example in held_out}), *texts.identical(examples)]
    problems += _pictures(scanned, examples, config, sizes)
    rows = bucket_table(training)
    count = _counter(model)
    if count is not None and examples:
        problems += texts.too_long(examples, count, sizes.tokens)
    estimated, why_not = _estimate(rows, examples, config=config, sizes=sizes, model=model, plan=plan)
    named = {identity for problem in problems for identity in problem.pictures}
    found = Findings(
        name=", ".join(source_name(source) for source in config.sources),
        sizes=sizes,
        scanned=scanned,
        examples=examples,
        held_out=held_out,
        buckets=rows,
        problems=tuple(sorted(problems, key=lambda problem: ("error", "warning", "note").index(problem.level))),
        estimate=estimated,
        not_estimated=why_not,
        longest_caption=texts.longest(examples, count) if count is not None and examples else None,
        batch_size=plan.batch_size,
        seconds=time.perf_counter() - began,
        thumbnails={each.entry.id: each.small for each in scanned if each.small and each.entry.id in named},
    )
    return Report(found)


def _sizes(model: Model | str | None, family: str | None) -> Sizes:
    if model is None or isinstance(model, str):
        if isinstance(model, str) and model not in KNOWN:
            raise DataConfigError(f"Nothing is known of the model {model!r}.", nearest(model, KNOWN))
        named = (row.name for row in FAMILIES.values() if model in row.checkpoints)
        return sizes_of(family or next(named, DEFAULT_FAMILY))
    if family is not None and family != model.family.name:
        raise DataConfigError(
            f"The model {model.name!r} is of the family {model.family.name!r}, not {family!r}.", "Give one of both."
        )
    return sizes_of(model.family)


def _split(examples: list[Example], config: DataConfig) -> tuple[list[Example], list[Example], list[Problem]]:
    try:
        training, held_out = hold_out(examples, config.held_out)
    except DataConfigError as error:
        return examples, [], [Problem("held out", "error", error.message, error.remedy, ())]
    return training, held_out, []


def _likeness(scanned: Sequence[Scanned], held_out: set[str]) -> list[Problem]:
    """Equal and nearly equal pictures."""
    ids = [each.entry.id for each in scanned]
    equal = equal_groups([each.digest for each in scanned])
    near = near_groups([each.small for each in scanned], known=equal)
    found = []
    if equal:
        members = tuple(ids[place] for group in equal for place in group)
        told = sum(len({scanned[place].entry.captions for place in group}) > 1 for group in equal)
        more = f"; the captions differ in {told} of them" if told else ""
        what = f"{len(members)} pictures in {_groups(equal)} are equal pixel for pixel{more}"
        found.append(
            Problem("duplicates", "warning", what, "Keep one of each; `repeats` shows it more often.", members)
        )
    if near:
        members = tuple(ids[place] for group in near for place in group)
        what = f"{len(members)} pictures in {_groups(near)} look alike: resized, recompressed or hardly changed"
        found.append(Problem("near duplicates", "warning", what, "Keep the best of each group.", members))
    leaking = [
        ids[place]
        for group in near
        if 0 < sum(ids[place] in held_out for place in group) < len(group)
        for place in group
        if ids[place] in held_out
    ]
    if leaking:
        what = f"{len(leaking)} held-out pictures look like training pictures, so the held-out loss is too good"
        found.append(Problem("held out", "warning", what, "Take the near duplicates out.", tuple(leaking)))
    return found


def _groups(found: Sequence[object]) -> str:
    return "1 group" if len(found) == 1 else f"{len(found)} groups"


def _pictures(
    scanned: Sequence[Scanned], examples: Sequence[Example], config: DataConfig, sizes: Sizes
) -> list[Problem]:
    """What happens to pictures on their way into a bucket."""
    side = max(resolutions_of(config, sizes))
    facts = [(each.entry.id, each.facts) for each in scanned if each.facts]
    same = [each.id for each in examples if each.digest in {part.digest for part in each.references}]
    cut_off = [each.id for each in examples if min(each.kept(bucket) for bucket in each.buckets) < MUCH_CUT]
    kinds: list[tuple[str, str, list[str], str, str]] = [
        ("warning", "nothing changes", same, "equal to their reference", "A pair shows before and after."),
        ("warning", "animation", [i for i, f in facts if f.frames > 1], "with several frames, the first is used", ""),
        (
            "warning", "much cut off", cut_off, f"of which less than {MUCH_CUT:.0%} is kept",
            "Crop them yourself, or raise `max_aspect`.",
        ),
        (
            "note", "below the resolution", [i for i, f in facts if f.width * f.height < side * side],
            f"smaller than {side} x {side}; they train at their own size, nothing is enlarged", "",
        ),
        ("note", "EXIF orientation", [i for i, f in facts if f.rotated], "turned upright as their EXIF data say", ""),
        ("note", "transparency", [i for i, f in facts if f.transparent], "with transparency, laid on white", ""),
        (
            "note", "colour mode", [i for i, f in facts if f.mode not in ("RGB", "RGBA", "L", "P", "LA", "1")],
            "converted to 8-bit sRGB from " + ", ".join(sorted({f.mode for _, f in facts})), "",
        ),
    ]  # fmt: skip
    return [
        Problem(kind, "note" if level == "note" else "warning", f"{len(ids)} {what}", remedy, tuple(ids))
        for level, kind, ids, what, remedy in kinds
        if ids
    ]


def _counter(model: Model | str | None) -> texts.Counter | None:
    return None if model is None or isinstance(model, str) else texts.token_counter(model)


def _estimate(
    rows: tuple[BucketRow, ...],
    examples: Sequence[Example],
    *,
    config: DataConfig,
    sizes: Sizes,
    model: Model | str | None,
    plan: Plan,
) -> tuple[Estimate | None, str]:
    architecture, name = _architecture(model)
    if architecture is None:
        return None, "give the model (--model): its size decides" if model is None else f"no formula fits {name}"
    if not rows:
        return None, "there is no sound picture"
    device, precision = "", plan.precision or "bfloat16"
    if model is not None and not isinstance(model, str):
        from workbench.models.device import choose_device

        device = str(choose_device("auto"))
        precision = plan.precision or ("bfloat16" if device.startswith("cuda") else "float32")
    variants = config.crops * (1 + config.flip)
    captions = {text for example in examples for text in example.captions}
    return (
        estimate(
            rows, architecture, model=name, multiple=sizes.multiple, texts=len(captions) + bool(config.caption_dropout),
            variants=variants, rank=plan.rank, batch_size=plan.batch_size, precision=precision, steps=plan.steps,
            quant=plan.quant,
            speed=measure_speed(device, precision) if device else None,
        ),
        "",
    )  # fmt: skip


def _architecture(model: Model | str | None) -> tuple[Architecture | None, str]:
    if model is None:
        return None, ""
    if isinstance(model, str):
        return KNOWN[model], model
    found = architecture_of(model.path, text_tokens=model.max_sequence_length, parameters=model.parameters)
    return found, model.name


def sizes_summary(scanned: Sequence[Scanned]) -> str:
    """Smallest to largest picture, by area."""
    sizes = sorted(
        ((each.facts.width, each.facts.height) for each in scanned if each.facts), key=lambda size: size[0] * size[1]
    )
    if not sizes:
        return ""
    ends = [f"{width} x {height}" for width, height in (sizes[0], sizes[-1])]
    return ends[0] if sizes[0] == sizes[-1] else " to ".join(ends)


def modes_summary(scanned: Sequence[Scanned]) -> str:
    """Colour modes of the files, the most frequent first."""
    modes = Counter(each.facts.mode for each in scanned if each.facts)
    return ", ".join(f"{mode} {count}" for mode, count in modes.most_common())
