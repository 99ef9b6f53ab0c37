from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from workbench.engine.events import CancelToken, Event, Finished, Planned, Result, Step
from workbench.errors import Cancelled, ModelError, RecipeError, StoreError
from workbench.recipe import Recipe, resolve
from workbench.session import Session
from workbench.settings import settings


@pytest.fixture
def session(tiny_klein: Any, tmp_path: Path) -> Session:
    return _open(tiny_klein, tmp_path)


def _open(tiny_klein: Any, home: Path, **options: Any) -> Session:
    return Session(settings(home=home, models=tiny_klein.root, device="cpu", **options))


def _recipes(count: int, **fields: Any) -> list[Recipe]:
    values = {"model": "tiny-base", "prompt": "a red circle", "width": 64, "height": 64, "steps": 2} | fields
    return [Recipe(**values, seed=seed) for seed in range(count)]


def _by_index(results: list[Result]) -> list[Result]:
    return sorted(results, key=lambda result: result.index)


def test_a_second_run_computes_nothing(tiny_klein: Any, tmp_path: Path) -> None:
    recipes = _recipes(5)
    first = _by_index(list(_open(tiny_klein, tmp_path).run(recipes)))
    assert not any(result.reused or result.error for result in first)
    again = _open(tiny_klein, tmp_path)
    second = list(again.run(recipes))
    assert again._engine is None  # the engine was not even started
    assert all(result.reused for result in second)
    for made, read in zip(first, second, strict=True):
        assert made.picture is not None
        assert read.picture is not None
        assert made.picture.tobytes() == read.picture.tobytes()
        assert (made.resolved, made.seconds, made.environment) == (read.resolved, read.seconds, read.environment)


def test_a_longer_list_computes_only_what_is_new(session: Session) -> None:
    list(session.run(_recipes(2)))
    results = list(session.run(_recipes(4)))
    assert [result.reused for result in _by_index(results)] == [True, True, False, False]
    assert [result.reused for result in results] == [True, True, False, False]  # stored ones come first


def test_every_yielded_picture_is_in_the_store(session: Session) -> None:
    for result in session.run(_recipes(4)):
        stored = session.store.get(result.digest)
        assert stored is not None
        assert result.picture is not None
        assert stored.open().tobytes() == result.picture.tobytes()


def test_equal_recipes_are_made_once(session: Session) -> None:
    (recipe,) = _recipes(1)
    same = recipe.replace(guidance_scale=4.0)  # the model's default, spelled out
    results = _by_index(list(session.run([recipe, same, recipe])))
    assert len({result.digest for result in results}) == 1
    assert sum(not result.reused for result in results) == 1
    assert all(result.picture is not None for result in results)
    assert [result.recipe for result in results] == [recipe, same, recipe]


def test_bad_recipes_do_not_stop_the_rest(session: Session) -> None:
    good = _recipes(2)
    recipes = [good[0].replace(width=72), good[0], good[1].replace(model="absent"), good[1]]
    results = _by_index(list(session.run(recipes)))
    assert [result.index for result in results] == [0, 1, 2, 3]
    assert isinstance(results[0].error, RecipeError)
    assert isinstance(results[2].error, ModelError)
    assert results[1].picture is not None
    assert results[3].picture is not None


def test_a_picture_that_cannot_be_saved_is_an_error_and_the_rest_goes_on(session: Session) -> None:
    recipes = _recipes(6)
    bad = resolve(recipes[2], session.catalog).digest
    (session.store.pictures / bad[:2]).write_text("a file where a folder should be")
    events: list[Event] = []
    results = _by_index(list(session.run([*recipes, recipes[2]], listen=events.append)))
    for result in results:
        if result.digest[:2] == bad[:2]:
            assert isinstance(result.error, StoreError)
            assert result.picture is None
        else:
            assert result.picture is not None
    assert results[6].error is not None  # the equal one
    assert any(isinstance(event, Finished) and event.digest == bad and event.error for event in events)


def test_events_count_stored_new_and_bad_pictures_together(session: Session) -> None:
    recipes = _recipes(4)
    list(session.run(recipes[:2]))
    events: list[Event] = []
    bad = recipes[0].replace(width=72)
    list(session.run([*recipes, recipes[3], bad], listen=events.append, previews=True))
    planned = [event for event in events if isinstance(event, Planned)]
    assert isinstance(events[0], Planned)
    assert {(event.total, event.unique) for event in planned} == {(6, 5)}
    finished = [event for event in events if isinstance(event, Finished)]
    assert [event.done for event in finished] == [1, 2, 3, 4, 5]
    assert {event.total for event in finished} == {5}
    steps = [event for event in events if isinstance(event, Step)]
    assert sorted((event.step, event.steps) for event in steps) == [(1, 2), (1, 2), (2, 2), (2, 2)]
    assert any(event.preview is not None for event in steps)


def test_cancel_keeps_what_was_finished(tiny_klein: Any, tmp_path: Path) -> None:
    session = _open(tiny_klein, tmp_path, batch_size=1)
    token = CancelToken()

    def listen(event: Event) -> None:
        if isinstance(event, Finished) and event.done == 2:
            token.cancel()

    recipes = _recipes(50)
    with pytest.raises(Cancelled):
        list(session.run(recipes, listen=listen, cancel=token))
    kept = session.estimate(recipes).stored
    assert 2 <= kept < 50
    assert sum(result.reused for result in session.run(recipes[:2])) == 2


def test_cancel_acts_before_stored_pictures_too(session: Session) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        list(session.run(_recipes(1), cancel=token))


def test_a_reader_that_leaves_stops_the_engine(tiny_klein: Any, tmp_path: Path) -> None:
    session = _open(tiny_klein, tmp_path, batch_size=1)
    recipes = _recipes(200)
    results = session.run(recipes)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert session.estimate(recipes).stored < 200
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("workbench-")]


def test_a_listener_s_bug_reaches_the_caller(session: Session) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, Finished):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(session.run(_recipes(3), listen=listen))


def test_a_damaged_picture_is_made_again(session: Session) -> None:
    recipes = _recipes(1)
    (made,) = session.run(recipes)
    path = session.store.path(made.digest)
    path.write_bytes(path.read_bytes()[:100])
    (again,) = session.run(recipes)
    assert not again.reused
    assert made.picture is not None
    assert session.store.get(made.digest).open().tobytes() == made.picture.tobytes()  # type: ignore[union-attr]


def test_again_makes_what_is_stored(session: Session) -> None:
    recipes = _recipes(1)
    (made,) = session.run(recipes)
    before = session.store.get(made.digest)
    (again,) = session.run(recipes, again=True)
    after = session.store.get(made.digest)
    assert not again.reused
    assert before is not None
    assert after is not None
    assert after.created > before.created


def test_generate_returns_one_result_or_raises(session: Session) -> None:
    fields: dict[str, Any] = {"model": "tiny-base", "width": 64, "height": 64, "steps": 1}
    result = session.generate(**fields, prompt="a red circle", seed=3)
    assert result.picture is not None
    assert result.picture.size == (64, 64)
    assert session.generate(result.recipe).reused
    assert session.generate(result.recipe, seed=4).digest != result.digest
    with pytest.raises(RecipeError, match="no recipe field 'stepz'"):
        session.generate(stepz=3)
    with pytest.raises(RecipeError, match="not a multiple of 16"):
        session.generate(**fields | {"width": 72})
    with pytest.raises(ModelError, match=r"no model 'tiny-bass'.*Did you mean 'tiny-base'"):
        session.generate(model="tiny-bass")


def test_estimates_come_from_history(session: Session) -> None:
    recipes = _recipes(4)
    first = session.estimate([*recipes, recipes[0]])
    assert (first.total, first.unique, first.stored, first.seconds) == (5, 4, 0, None)
    assert first.bytes > 0
    results = list(session.run(recipes[:2]))
    spent = [sum(result.seconds.values()) - result.seconds.get("load", 0) for result in results]
    second = session.estimate(recipes)
    assert second.stored == 2
    assert second.seconds is not None
    assert 2 * min(spent) <= second.seconds * 1.0001
    assert second.seconds <= 2 * max(spent) * 1.0001
    twice = session.estimate([recipe.replace(steps=4) for recipe in recipes[:1]])
    once = session.estimate(recipes[2:3])
    assert twice.seconds == pytest.approx(2 * (once.seconds or 0))
    list(session.run(recipes))
    done = session.estimate(recipes)
    assert (done.stored, done.seconds, done.bytes) == (4, 0.0, 0)
    with pytest.raises(RecipeError):
        session.estimate([recipes[0].replace(width=72)])


def test_an_empty_list_is_no_work(session: Session) -> None:
    assert list(session.run([])) == []
    assert session.estimate([]).seconds == 0


def test_threads_share_one_engine(session: Session) -> None:
    engines: list[object] = []
    threads = [threading.Thread(target=lambda: engines.append(session.engine)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(engines) == 4
    assert len(set(map(id, engines))) == 1
