from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from workbench.engine.events import CancelToken, Planned, Step
from workbench.errors import Cancelled, GridError
from workbench.grid import Grid, Plan
from workbench.grid.result import Shot
from workbench.session import Session
from workbench.settings import settings

BASE = {"model": "tiny-base", "prompt": "a red circle", "width": 64, "height": 64, "steps": 1}


@pytest.fixture
def session(tiny_klein: Any, tmp_path: Path) -> Session:
    return Session(settings(home=tmp_path / "home", models=tiny_klein.root, device="cpu", batch_size=2))


def grid(steps: list[int], **options: Any) -> Grid:
    axes: list[dict[str, Any]] = [{"field": "steps", "values": steps}, {"replace": "red", "values": "red, blue"}]
    return Grid(BASE, axes, **({"seeds": 2} | options))


def test_a_grid_run_twice_computes_nothing_and_one_more_column_only_that(session: Session) -> None:
    seen: list[Shot] = []
    events: list[Any] = []
    first = grid([1, 2]).run(session, on_cell=seen.append, listen=events.append)
    assert (first.computed, first.reused, first.failed, first.pending) == (8, 0, 0, 0)
    assert {(shot.cell, shot.seed) for shot in seen} == set(first.shots)
    assert all(shot.picture is not None for shot in seen)
    assert any(isinstance(event, Planned) for event in events)
    assert any(isinstance(event, Step) for event in events)
    again = grid([1, 2]).run(session)
    assert (again.computed, again.reused) == (0, 8)
    for key, shot in first.shots.items():
        assert again.picture(again.shots[key]).tobytes() == first.picture(shot).tobytes()
    wider = grid([1, 2, 3]).run(session)
    assert (wider.computed, wider.reused) == (4, 8)
    made = {wider.plan.cells[shot.cell].at[0] for shot in wider.shots.values() if not shot.reused}
    assert made == {2}


def test_the_summary_says_what_the_run_then_does(session: Session) -> None:
    wanted = grid([1, 2], skip=[{"Steps": 2, "“red” becomes": "blue"}])
    summary = wanted.summary(session)
    assert (summary.cells, summary.skipped, summary.pictures, summary.unique, summary.stored) == (4, 1, 6, 6, 0)
    assert (summary.missing, summary.seconds) == (6, None)  # this model has no history yet
    assert summary.bytes > 0
    assert "4 cells (1 skipped), 6 pictures" in str(summary)
    result = wanted.run(session)
    assert (result.computed, len(result.shots)) == (6, 6)
    after = wanted.summary(session)
    assert (after.stored, after.missing, after.seconds, after.bytes) == (6, 0, 0, 0)
    assert "nothing to compute" in str(after)
    more = grid([1, 2, 3]).summary(session)
    assert more.seconds is not None
    assert more.seconds > 0


def test_cells_that_must_be_equal_are_one_picture(session: Session) -> None:
    axes: list[dict[str, Any]] = [
        {"field": "guidance_scale", "values": [0.5, 1, 3]},
        {"field": "negative_prompt", "values": ["", "blue"]},
    ]
    wanted = Grid(BASE, axes)
    assert wanted.summary(session).unique == 3  # off is off, whatever stands in the negative prompt
    result = wanted.run(session)
    assert (len(result.shots), result.computed) == (6, 3)
    off = [result.shots[cell.index, 0] for cell in result.plan.cells if cell.at[0] < 2]
    assert len({shot.digest for shot in off}) == 1
    assert len({id(shot.picture) for shot in off}) == 1


def test_a_failing_cell_does_not_stop_the_rest(session: Session, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    save_file({"transformer.no_such_layer.lora_A.weight": np.zeros((2, 4), np.float32)}, bad)  # of another model
    wanted = Grid(BASE, [{"adapters": ["none", str(bad)]}, {"field": "steps", "values": [1, 2]}])
    result = wanted.run(session)
    assert (result.computed, result.failed) == (2, 2)
    assert [shot.status for shot in result.shots.values()].count("failed") == 2
    assert all("bad" in place for place in result.errors)
    assert all(error for error in result.errors.values())
    files = result.save(tmp_path / "out")
    assert all(path.stat().st_size > 0 for path in files)
    failed = next(shot for shot in result.shots.values() if shot.status == "failed")
    with pytest.raises(GridError, match="has no picture"):
        result.picture(failed)


def test_cancel_keeps_what_is_done_and_the_next_run_goes_on(session: Session, tmp_path: Path) -> None:
    token = CancelToken()
    done: list[Shot] = []

    def stop(shot: Shot) -> None:
        done.append(shot)
        token.cancel()

    first = grid([30, 31]).run(session, cancel=token, on_cell=stop)
    assert first.cancelled
    assert first.computed + first.pending == 8
    assert first.computed > 0
    assert first.pending > 0
    first.save(tmp_path / "partial")  # what is there can be shown
    second = grid([30, 31]).run(session)
    assert not second.cancelled
    assert second.reused >= first.computed
    assert second.computed + second.reused == 8


def test_everything_is_validated_before_the_first_picture(session: Session) -> None:
    wanted = Grid(BASE, [{"field": "width", "values": [64, 100]}])
    seen: list[Shot] = []
    with pytest.raises(GridError, match="Width = 100"):
        wanted.run(session, on_cell=seen.append)
    assert not seen
    assert not session.store.recent(1)


def test_pictures_beyond_the_memory_budget_come_from_the_store(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.grid.run.KEEP_BYTES", 2 * 64 * 64 * 3)
    result = grid([1, 2]).run(session)
    assert sum(shot.picture is not None for shot in result.shots.values()) == 2
    assert {result.picture(shot).size for shot in result.shots.values()} == {(64, 64)}
    assert len(result.save(tmp_path)) == 4


def test_all_recipes_go_through_one_call(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    run = session.run

    def counted(recipes: Any, **options: Any) -> Any:
        calls.append(list(recipes))
        return run(recipes, **options)

    monkeypatch.setattr(session, "run", counted)
    result = grid([2, 1]).run(session)
    assert len(calls) == 1
    assert calls[0] == [cell.recipes[seed] for cell, seed in result.plan.run_order]


def test_a_plan_knows_its_resolved_recipes_only_with_a_catalog(session: Session) -> None:
    plans: list[Plan] = [grid([1]).expand(), grid([1]).expand(session.catalog)]
    assert [len(plan.cells[0].resolved) for plan in plans] == [0, 2]


def test_a_cancelled_session_is_not_an_error_of_the_grid(session: Session) -> None:
    token = CancelToken()
    token.cancel()
    result = grid([1]).run(session, cancel=token)
    assert result.cancelled
    assert result.pending == 4
    with pytest.raises(Cancelled):
        list(session.run([shot.recipe for shot in result.shots.values()], cancel=token))
