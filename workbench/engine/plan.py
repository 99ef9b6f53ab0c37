"""From a list of recipes to batches: every picture once, what is expensive to change changed rarely.

Pure and torch-free: the same recipes and catalog give the same plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from workbench.errors import WorkbenchError
from workbench.recipe import Adapter, Catalog, Precision, Quantisation, Recipe, ResolvedRecipe, resolve
from workbench.recipe.conditions import first_step


@dataclass(frozen=True, slots=True)
class Job:
    """One picture to make, and the positions in the given list that ask for it."""

    resolved: ResolvedRecipe
    digest: str
    indices: tuple[int, ...]
    true_cfg: bool = False  # whether the second pass has a scale of its own
    stock: bool = False  # whether the model's stock pipeline draws it
    caption: str = ""  # what a prompt upsampler wrote; '' where there is none

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe, all fields filled."""
        return self.resolved.recipe

    @property
    def prompt(self) -> str:
        """What the model reads: the caption, or else the recipe's prompt."""
        return self.caption or self.recipe.prompt

    @property
    def start(self) -> int:
        """Steps of the schedule that are left out, as the image is there already."""
        assert self.recipe.steps is not None  # filled by resolve
        return 0 if self.recipe.image is None else first_step(self.recipe.steps, self.recipe.strength or 0.0)

    @property
    def steps(self) -> int:
        """Denoising steps that are done, 0 where the strength leaves none."""
        assert self.recipe.steps is not None  # filled by resolve
        return self.recipe.steps - self.start

    @property
    def masked(self) -> bool:
        """Whether a part of the image is kept."""
        return self.recipe.mask is not None or self.recipe.margins is not None

    @property
    def guidance(self) -> float:
        """Scale of the second pass, classifier-free guidance; 1 is off."""
        if self.true_cfg:
            return self.recipe.true_cfg_scale or 1.0
        assert self.recipe.guidance_scale is not None  # filled by resolve
        return self.recipe.guidance_scale

    @property
    def guided(self) -> bool:
        """Whether each step needs a second pass with the negative prompt."""
        return self.guidance > 1


@dataclass(frozen=True, slots=True, order=True)
class Shape:
    """What all rows of one batch share besides the weights."""

    width: int  # pixels
    height: int  # pixels
    text_tokens: int
    references: tuple[tuple[int, int], ...] = ()  # width and height of each, in pixels, in order
    masked: bool = False  # whether a part of the image is kept
    texts: int = 1  # side by side, where regions have their own
    tile: int = 0  # side of the tiles that are decoded, in pixels; 0: whole
    cache: str = ""  # approximate cache, which counts steps:
    steps: int = 0  # with a cache, how many are done; 0: rows may differ
    sampler: str = ""  # solver of the steps; empty: Euler's


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs that can share batches: equal weights, adapters, precision and shape; anything else may differ."""

    model: str  # catalog name
    adapters: tuple[Adapter, ...]
    precision: Precision
    shape: Shape
    jobs: tuple[Job, ...]
    quantisation: Quantisation | None = None

    @property
    def guided(self) -> bool:
        """Whether any row needs a second pass."""
        return any(job.guided for job in self.jobs)

    def batches(self, size: int) -> Iterator[tuple[Job, ...]]:
        """The jobs, at most `size` at a time; rows with as many steps sit together, so that few leave early."""
        ordered = sorted(self.jobs, key=lambda job: (job.steps, job.guided))
        for start in range(0, len(ordered), size):
            yield tuple(ordered[start : start + size])


@dataclass(frozen=True, slots=True)
class Failure:
    """A recipe that could not be resolved."""

    index: int
    error: WorkbenchError


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do."""

    recipes: tuple[Recipe, ...]  # as given
    groups: tuple[Group, ...] = ()
    failures: tuple[Failure, ...] = field(default=())

    @property
    def unique(self) -> int:
        """Pictures to make."""
        return sum(len(group.jobs) for group in self.groups)


def make_plan(recipes: Sequence[Recipe], catalog: Catalog) -> Plan:
    """Resolve all recipes, keep each digest once, and group what can share a batch.

    Groups of one model follow one another, and within it those of one precision and set of adapters, so that weights
    are loaded and merged as rarely as possible; both keep the order in which they were first asked for.

    Args:
        recipes: what is wanted; equal ones are made once.
        catalog: finds models and adapters.
    """
    failures: list[Failure] = []
    jobs: dict[str, Job] = {}
    for index, recipe in enumerate(recipes):
        try:
            resolved = resolve(recipe, catalog)
        except WorkbenchError as error:
            failures.append(Failure(index, error))
            continue
        digest = resolved.digest
        first = jobs.get(digest)
        indices = (*first.indices, index) if first else (index,)
        model = catalog.model(resolved.recipe.model)
        own = model.true_cfg or model.embeds_guidance
        jobs[digest] = Job(first.resolved if first else resolved, digest, indices, own, model.is_baseline)
    grouped: dict[tuple[object, ...], list[Job]] = {}
    for job in jobs.values():
        grouped.setdefault(_key(job), []).append(job)
    rank: dict[object, int] = {}
    for key in grouped:
        for depth in range(1, len(key) + 1):
            rank.setdefault(key[:depth], len(rank))
    ordered = sorted(grouped, key=lambda key: [rank[key[:depth]] for depth in range(1, len(key) + 1)])
    return Plan(tuple(recipes), tuple(_group(grouped[key]) for key in ordered), tuple(failures))


def _key(job: Job) -> tuple[object, ...]:
    """Most expensive to change first."""
    adapters = tuple(
        (weights, adapter.weight, tuple(adapter.blocks.items()))
        for weights, adapter in zip(job.resolved.adapter_weights, job.recipe.adapters, strict=True)
    )
    return job.resolved.weights, job.recipe.precision, job.recipe.quantisation, adapters, _shape(job)


def _shape(job: Job) -> Shape:
    recipe = job.recipe
    assert recipe.width is not None  # these are filled by resolve
    assert recipe.height is not None
    assert recipe.max_sequence_length is not None
    references = tuple(reference.pixels for reference in recipe.references)
    return Shape(
        recipe.width, recipe.height, recipe.max_sequence_length, references, job.masked,
        texts=1 + len(recipe.regions), tile=recipe.decode_tile or 0,
        cache=recipe.cache or "", steps=job.steps if recipe.cache else 0, sampler=recipe.sampler or "",
    )  # fmt: skip


def _group(jobs: list[Job]) -> Group:
    recipe = jobs[0].recipe
    assert recipe.precision is not None  # filled by resolve
    return Group(
        recipe.model, recipe.adapters, recipe.precision, _shape(jobs[0]), tuple(jobs), recipe.quantisation
    )  # fmt: skip
