from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from workbench.errors import GridError, ModelError, RecipeError, WorkbenchError
from workbench.grid import Grid
from workbench.queue import QueueEvent, Sweep
from workbench.queue.errors import QueueError
from workbench.queue.files import read_work
from workbench.queue.queue import Queue
from workbench.recipe import Recipe
from workbench.session import Session
from workbench.settings import settings

SMALL: dict[str, Any] = {"model": "tiny-base", "prompt": "a red dot", "width": 64, "height": 64, "steps": 2}


@pytest.fixture
def queue(tiny_klein: Any, home: Path) -> Queue:
    return Queue(Session(settings(home=home, models=tiny_klein.root, device="cpu")))


def fields(sweep: Sweep, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(recipe, name) for name in names) for recipe, _ in sweep.expand()]


def test_zip_goes_together_product_combines_and_runs_take_other_seeds() -> None:
    zipped = {"zip": [{"field": "prompt", "values": ["x", "y", "x"]}, {"field": "seed", "values": [5, 5, 7]}]}
    sweep = Sweep(SMALL, [{"field": "steps", "values": "1-2"}, zipped], runs=2)
    assert len(sweep) == 12
    first = [(1, "x", 5), (1, "y", 5), (1, "x", 7), (2, "x", 5), (2, "y", 5), (2, "x", 7)]
    later = [(steps, prompt, seed + 3) for steps, prompt, seed in first]
    assert fields(sweep, "steps", "prompt", "seed") == first + later
    assert sweep.expand()[1][1] == "Steps = 1, Prompt = y, Seed = 5, Run = 1"


def test_models_adapters_and_pictures_are_values_and_models_change_rarely(tmp_path: Path, tiny_klein: Any) -> None:
    paths = [str(tmp_path / f"{name}.png") for name in "ab"]
    for path in paths:
        Image.new("RGB", (64, 64)).save(path)
    sweep = Sweep(
        SMALL,
        [
            {"field": "image", "values": paths},
            {"adapters": ["none", {"name": "plain", "weight": 0.5}]},
            {"field": "model", "values": ["tiny-base", "tiny-static"]},
        ],
    )
    expanded = sweep.expand()
    assert [recipe.model for recipe, _ in expanded] == ["tiny-base"] * 4 + ["tiny-static"] * 4
    assert {recipe.image for recipe, _ in expanded} == set(paths)
    assert {recipe.adapters[0].weight for recipe, _ in expanded if recipe.adapters} == {0.5}
    assert len({recipe.to_yaml() for recipe, _ in expanded}) == 8


@pytest.mark.parametrize(
    ("axes", "options", "message"),
    [
        ([{"zip": [{"field": "seed", "values": [1, 2]}, {"field": "steps", "values": [1]}]}], {}, "lengths: Seed 2, Steps 1"),
        ([{"zip": [{"field": "seed", "values": [1, 2]}]}], {}, "no list of axes"),
        ([{"field": "steps", "values": [1, 2.5]}], {}, "does not fit"),
        ([{"field": "steps", "values": ["many"]}], {}, "does not fit"),
        ([{"field": "steps", "values": [True]}], {}, "does not fit"),
        ([{"field": "stepz", "values": [1]}], {}, "no recipe field"),
        ([{"field": "steps", "values": [1]}, {"field": "steps", "values": [2], "title": "again"}], {}, "both change steps"),
        ([{"field": "seed", "values": "0-999"}, {"field": "steps", "values": "1-1000"}], {}, "1,000,000 jobs"),
        ([], {"runs": 0}, "runs cannot be 0"),
        ([], {"runs": True}, "runs cannot be True"),
        ([{"field": "seed", "values": [0, 2**63 - 1]}], {"runs": 2}, "above 2^63"),
    ],
)  # fmt: skip
def test_a_wrong_sweep_says_what_is_wrong(axes: list[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises((QueueError, GridError), match=message.replace("^", r"\^")):
        Sweep(SMALL, axes, **options)


def test_bools_are_values_where_a_field_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.grid import values

    monkeypatch.setattr(values, "_kinds", lambda name: (bool,))
    with pytest.raises(GridError, match="does not fit"):  # no longer refused as a bool, but by the field itself
        Sweep(SMALL, [{"field": "prompt", "values": [True]}])


def test_nothing_is_stored_when_one_recipe_is_wrong(queue: Queue) -> None:
    good = Recipe(**SMALL)
    with pytest.raises(RecipeError, match="Recipe 3 of 3: The width 72"):
        queue.submit([good, good.replace(seed=1), good.replace(width=72)])
    with pytest.raises(ModelError):
        queue.submit(Grid(SMALL, [{"field": "model", "values": ["tiny-base", "absent"]}]))
    for wrong in ([], [good] * 100_001, ["no recipe"], [good, None]):
        with pytest.raises(QueueError):
            queue.submit(wrong)  # type: ignore[arg-type]
    for priority in (True, 1.5, "high", 10**9):
        with pytest.raises(QueueError, match="priority"):
            queue.submit(good, priority=priority)  # type: ignore[arg-type]
    with pytest.raises(RecipeError):
        queue.submit_job("picture", {"steps": 2.5})
    assert queue.batches() == []


def test_orders_to_jobs_that_do_not_exist_are_refused(queue: Queue) -> None:
    queue.submit(Recipe(**SMALL))
    for order in (
        lambda: queue.cancel(99),
        lambda: queue.retry(batch=99),
        lambda: queue.job(2),
        lambda: queue.payload(2),
    ):
        with pytest.raises(QueueError, match="There is no"):
            order()
    with pytest.raises(QueueError, match="Did you mean 'pending'"):
        queue.jobs("pendin")  # type: ignore[arg-type]
    assert queue.counts()["pending"] == 1


def test_cancel_retry_prioritise_and_clear_by_job_batch_and_all(queue: Queue) -> None:
    events: list[QueueEvent] = []
    queue.bus.subscribe(events.append)
    recipes = [Recipe(**SMALL | {"seed": seed}) for seed in range(3)]
    one, two = queue.submit(recipes), queue.submit(recipes, priority=3)
    assert [job.batch for job in queue.jobs()] == [two.id] * 3 + [one.id] * 3
    assert queue.cancel(1) == 1
    assert queue.cancel(1) == 0
    assert queue.cancel(batch=two.id) == 3
    assert queue.batch(two.id).counts["canceled"] == 3
    assert queue.cancel() == 2
    assert sum(event.name == "canceled" for event in events) == 6
    assert queue.retry(batch=one.id) == 3
    assert queue.prioritise(-2, 2) == 1
    assert [job.id for job in queue.jobs("pending")] == [1, 3, 2]
    assert queue.clear() == 3
    assert [batch.id for batch in queue.batches()] == [one.id]
    assert queue.clear(waiting=True) == 3
    assert (queue.batches(), queue.jobs()) == ([], [])
    assert queue.submit(recipes[0]).id == 3  # numbers are never given twice


def test_titles_of_any_length_and_sign_are_kept(queue: Queue) -> None:
    batch = queue.submit(Recipe(**SMALL | {"prompt": "é" * 5000}), title="a\x00b\ud800")
    assert batch.title == "a\\x00b\\ud800"
    assert len(queue.jobs()[0].title) == 200


def test_files_are_read_as_what_they_are(tmp_path: Path) -> None:
    def write(text: str) -> Path:
        path = tmp_path / "work.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    assert isinstance(read_work(write("prompt: a red dot")), Recipe)
    assert isinstance(read_work(write("grid: 1\naxes: [{field: steps, values: 1-2}]")), Grid)
    sweep = read_work(write("sweep: 1\nbase: {prompt: a}\naxes: [{field: seed, values: 1-3}]\nruns: 2\ntitle: t"))
    assert isinstance(sweep, Sweep)
    assert (len(sweep), sweep.title) == (6, "t")
    assert len(read_work(write("- {prompt: a}\n- {prompt: b}"))) == 2  # type: ignore[arg-type]
    for wrong in ("5", "- a", "sweep: 2", "sweep: 1\nbase: 4", "sweep: 1\naxis: []", "{", "sweep: 1\ntitle: [x]"):
        with pytest.raises(WorkbenchError):
            read_work(write(wrong))
    with pytest.raises(QueueError, match="cannot be read"):
        read_work(tmp_path / "absent.yaml")
