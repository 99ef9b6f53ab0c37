"""Planning: each picture once, grouped by what is expensive to change."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from workbench.engine.plan import Group, make_plan
from workbench.errors import ModelError
from workbench.models import ModelCatalog
from workbench.recipe import Adapter, Recipe

RECIPES = st.builds(
    Recipe,
    model=st.sampled_from(["tiny-base", "tiny-distilled", "absent"]),
    prompt=st.sampled_from(["a", "b"]),
    seed=st.integers(0, 2),
    width=st.sampled_from([None, 64, 65]),
    steps=st.sampled_from([None, 2, 3]),
    guidance_scale=st.sampled_from([None, 1.0, 2.0]),
    precision=st.sampled_from([None, "bfloat16"]),
    adapters=st.sampled_from([(), (Adapter(name="plain"),), (Adapter(name="plain", weight=0.5),)]),
)


@given(st.lists(RECIPES, max_size=20), st.integers(1, 5))
def test_every_recipe_is_answered_once(tiny_catalog: ModelCatalog, recipes: list[Recipe], size: int) -> None:
    plan = make_plan(recipes, tiny_catalog)
    answered = [index for group in plan.groups for job in group.jobs for index in job.indices]
    answered += [failure.index for failure in plan.failures]
    assert sorted(answered) == list(range(len(recipes)))
    digests = [job.digest for group in plan.groups for job in group.jobs]
    assert len(digests) == len(set(digests)) == plan.unique
    for group in plan.groups:
        batches = list(group.batches(size))
        assert sorted(job.digest for batch in batches for job in batch) == sorted(job.digest for job in group.jobs)
        assert all(len(batch) <= size for batch in batches)
        assert all(tiny_catalog.model(job.recipe.model).name == group.model for job in group.jobs)


@given(st.lists(RECIPES, max_size=20))
def test_weights_change_as_rarely_as_possible(tiny_catalog: ModelCatalog, recipes: list[Recipe]) -> None:
    groups = make_plan(recipes, tiny_catalog).groups

    def runs(keys: list[object]) -> int:
        return sum(1 for before, key in zip([None, *keys], keys, strict=False) if before != key)

    def loads(group: Group) -> object:
        return group.model, group.precision

    def merges(group: Group) -> object:
        return loads(group), group.adapters

    for key in (loads, merges):
        keys = [key(group) for group in groups]
        assert runs(keys) == len(set(keys))


def test_failures_say_why(tiny_catalog: ModelCatalog) -> None:
    plan = make_plan([Recipe(model="absent"), Recipe(model="tiny-base")], tiny_catalog)
    assert [(failure.index, type(failure.error)) for failure in plan.failures] == [(0, ModelError)]
    assert plan.unique == 1


def test_rows_with_equal_steps_share_a_batch(tiny_catalog: ModelCatalog) -> None:
    recipes = [Recipe(model="tiny-base", seed=seed, steps=steps) for seed in (1, 2) for steps in (2, 5)]
    (group,) = make_plan(recipes, tiny_catalog).groups
    assert [[job.steps for job in batch] for batch in group.batches(2)] == [[2, 2], [5, 5]]


def test_planning_needs_no_torch() -> None:
    code = (
        "import sys, workbench.engine, workbench.engine.plan, workbench.models; "
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
