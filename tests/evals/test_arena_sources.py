"""Contests of runs, grids and folders, and the commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from evals.agreement import human_agreement, metrics_of
from evals.arena import ArenaError, Ballot, from_folders, from_grid, from_run, open_contest, read_votes
from evals.cli import app
from evals.running import Contender, run_suite
from evals.scoring import Metric, Sample, Score
from evals.suite import Prompt, Suite
from tests.evals.arena_helpers import judge_all, square
from workbench.grid import Grid
from workbench.grid.result import GridResult, Shot
from workbench.session import Session
from workbench.store.png import write_picture

SCENE = {"background": "white", "items": [{"shape": "circle", "colour": "red", "x": 0.5, "y": 0.5, "radius": 0.3}]}


class One:
    """Gives every picture a 1."""

    name, version, reads, metrics = "one", "1", (), (Metric("one"),)

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        return [Score({"one": 1.0}) for _ in samples]


def draw(prompt: Prompt, seed: int, red: int = 0) -> Image.Image:
    if prompt.id == "p2" and red:
        raise ValueError("cannot draw this one")
    return square(red, int(prompt.id[1:]), seed % 256)


def test_a_run_becomes_a_contest(tmp_path: Path) -> None:
    prompts = tuple(Prompt(id=f"p{n}", kind="a", prompt=f"a dot {n}", ask={}) for n in range(4))
    suite = Suite(name="made", version=1, about="for tests", prompts=prompts)
    contenders = [Contender("dark", draw=draw), Contender("red", draw=lambda prompt, seed: draw(prompt, seed, 200))]
    run = run_suite(None, suite, contenders, seeds=2, scorers=[One()])
    contest = from_run(run, tmp_path, question="Which is redder?")
    assert contest.contenders == ("dark", "red")
    assert len(contest.items) == 8
    assert len(contest.comparisons) == 6
    assert [name for name, *_ in contest.missing] == ["red", "red"]  # two seeds of the prompt that failed
    assert contest.title == "made"
    judge_all(contest, "ada", {"dark": 1000.0, "red": 1000.0})
    (agreed,) = human_agreement(contest, read_votes(contest), metrics_of(run), resamples=9)
    assert agreed.metric == "one.one"
    assert agreed.without == 0
    assert agreed.accuracy is not None
    assert agreed.accuracy.accuracy.n == 6
    assert agreed.tau is None  # a constant metric orders nothing
    for each in contest.comparisons:
        item = contest.items[each.item]
        assert item.prompt == f"a dot {item.prompt_id[1:]}"
        assert contest.picture(each.item, 1).getpixel((0, 0)) == (200, int(item.prompt_id[1:]), item.seed % 256)


def test_edits_bring_the_pictures_they_started_from(tmp_path: Path) -> None:
    prompts = (Prompt(id="p1", kind="edit", prompt="make it blue", ask={}, references=(SCENE,)),)
    suite = Suite(name="edits", version=1, about="for tests", prompts=prompts)
    contenders = [Contender("dark", draw=draw), Contender("red", draw=lambda prompt, seed: draw(prompt, seed, 200))]
    session = Session(home=tmp_path / "home", device="cpu")
    run = run_suite(session, suite, contenders, seeds=1, scorers=[One()])
    contest = from_run(run, tmp_path / "contest")
    (reference,) = contest.references(0)
    red, green, blue = reference.getpixel((64, 64))  # type: ignore[misc]
    assert red > 150 > max(green, blue)


def test_values_of_an_axis_compete(tmp_path: Path) -> None:
    axes = [{"field": "steps", "values": [2, 4, 8]}, {"field": "guidance_scale", "values": [1, 3]}]
    grid = Grid({"prompt": "a dot"}, axes, seeds=2, title="Steps")
    plan = grid.expand()
    shots = {
        (cell.index, seed): Shot(
            cell.index, seed, recipe, "", "done", square(recipe.steps or 0, round(recipe.guidance_scale or 0), seed)
        )
        for cell in plan.cells
        for seed, recipe in enumerate(cell.recipes)
    }
    result = GridResult(grid, plan, shots)
    contest = from_grid(result, "Steps", tmp_path / "steps")
    assert contest.contenders == ("2", "4", "8")
    assert len(contest.items) == 4
    assert {item.prompt_id for item in contest.items} == {"Guidance scale 1", "Guidance scale 3"}
    for item in range(4):
        assert [contest.picture(item, place).getpixel((0, 0))[0] for place in range(3)] == [2, 4, 8]  # type: ignore[index]
    with pytest.raises(ArenaError, match="no axis 'steps'"):
        from_grid(result, "steps", tmp_path / "other")


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    for place, name in enumerate(("base", "tuned")):
        for picture in range(5 - place):
            path = tmp_path / name / f"{picture}.png"
            path.parent.mkdir(exist_ok=True)
            metadata = {"recipe": {"prompt": "a star"}} if picture == 1 else {}
            write_picture(path, square(100 * place + 20, picture, 0), metadata)
    (tmp_path / "base" / "0.txt").write_text("a circle\n")
    return {name: tmp_path / name for name in ("base", "tuned")}


def test_files_of_the_same_name_meet(folders: dict[str, Path], tmp_path: Path) -> None:
    contest = from_folders(folders, tmp_path / "contest")
    assert [item.prompt for item in contest.items] == ["a circle", "a star", "2", "3", "4"]
    assert contest.missing == [("tuned", "4", 0)]
    with pytest.raises(ArenaError, match="no folder"):
        from_folders(folders | {"gone": tmp_path / "gone"}, tmp_path / "other")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArenaError, match="holds no picture"):
        from_folders(folders | {"empty": tmp_path / "empty"}, tmp_path / "other")


def test_commands(folders: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "contest"
    given = [f"{name}={folder}" for name, folder in folders.items()]
    made = CliRunner().invoke(app, ["arena", "make", *given, "--out", str(out), "--repeats", "2", "--json"])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["comparisons"] == 4
    assert json.loads(made.stdout)["missing"] == 1
    early = CliRunner().invoke(app, ["arena", "results", str(out)])
    assert early.exit_code == 2
    assert "Nobody has voted yet" in early.stderr
    judge_all(open_contest(out), "ada", {"base": 0.0, "tuned": 3000.0})
    done = CliRunner().invoke(app, ["arena", "results", str(out), "--out", str(tmp_path / "results")])
    assert done.exit_code == 0, done.output
    assert "tuned" in done.stdout.splitlines()[1]
    assert "base is not preferred to tuned" in done.stdout
    assert (tmp_path / "results" / "votes.parquet").is_file()
    told = CliRunner().invoke(app, ["arena", "results", str(out), "--json"])
    assert json.loads(told.stdout)["ratings"][0]["contender"] == "tuned"
    assert len(Ballot(open_contest(out), "ada").votes) == 6
    for wrong in (["base"], ["a=x", "a=y"], ["=x", "b=y"]):
        refused = CliRunner().invoke(app, ["arena", "make", *wrong, "--out", str(tmp_path / "no")])
        assert refused.exit_code == 2
