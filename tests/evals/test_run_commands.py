"""The commands over runs, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from evals.cli import app
from evals.running import load_run
from tests.conftest import TinyKlein


class Evals:
    """Runs `evals` in a home of its own."""

    def __init__(self, home: Path, tiny: TinyKlein) -> None:
        self.home, self.tiny = home, tiny

    def __call__(self, *args: str) -> Result:
        environment = {"WORKBENCH_HOME": str(self.home), "WORKBENCH_MODELS": str(self.tiny.root)}
        return CliRunner(env=environment).invoke(app, args)


@pytest.fixture
def evals(tmp_path: Path, tiny_klein: TinyKlein) -> Evals:
    return Evals(tmp_path / "home", tiny_klein)


MODELS = ("tiny-base,steps=1,width=64,height=64,name=one", "tiny-base,steps=2,width=64,height=64,name=two")


def test_models_are_compared_from_the_command_line(evals: Evals, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = evals(
        "run", "nano-1", "--models", *MODELS, "--seeds", "2", "--limit", "4", "--scorers", "cost", "diversity",
        "--device", "cpu", "--json", "--out", str(out),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert [each["name"] for each in facts["contenders"]] == ["one", "two"]
    assert "16 pictures: 0 stored, 16 to draw" in done.stderr
    assert {Path(each).name for each in facts["files"]} >= {"run.yaml", "scores.parquet", "report.html", "report.md"}
    kept = yaml.safe_load((out / "run.yaml").read_text(encoding="utf-8"))
    assert kept["contenders"][1]["fields"] == {"model": "tiny-base", "steps": 2, "width": 64, "height": 64}

    again = evals("run", "--again", str(out / "run.yaml"), "--device", "cpu", "--out", str(tmp_path / "again"))
    assert again.exit_code == 0, again.output
    assert "16 pictures: 16 stored, 0 to draw" in again.stderr
    first, second = (load_run(folder).frame() for folder in (out, tmp_path / "again"))
    assert first.equals(second)

    report = evals("report", str(out), "--out", str(tmp_path / "elsewhere"))
    assert report.exit_code == 0, report.output
    pages = [folder / "report.html" for folder in (out, tmp_path / "elsewhere")]
    assert pages[0].read_text(encoding="utf-8") == pages[1].read_text(encoding="utf-8")
    assert evals("compare", str(out), str(tmp_path / "again"), "--gate").exit_code == 0
    sized = evals("power", str(out), "--difference", "0.1", "--json")
    assert json.loads(sized.stdout)[0]["compared"] == "one − two"


def test_the_scorers_are_listed_with_what_they_lack(evals: Evals) -> None:
    listed = {each["name"]: each for each in json.loads(evals("scorers", "--json").stdout)}
    assert listed["scene"]["metrics"][0]["name"] == "exact"
    assert listed["typography"]["version"]
    for each in listed.values():
        assert each["about"]
        assert each["metrics"], each
        assert all(metric["source"] for metric in each["metrics"]), each["name"]
        assert each["missing"] or each["version"], each["name"]
    assert "needs the weights" in listed["clipscore"]["missing"]
    assert "scene" in evals("scorers").output


def test_sizes_are_planned_without_a_run(evals: Evals) -> None:
    rows = json.loads(evals("power", "--spread", "0.3", "--difference", "0.05", "--json").stdout)
    assert rows[0]["prompts"] == 285
    assert "0.0849" in evals("power", "--spread", "0.3", "--prompts", "100").output


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("run", "nano-9", "--out", "x"), "no suite 'nano-9'"),
        (("run", "--out", "x"), "no suite to run"),
        (("run", "nano-1", "--models", "no-such", "--out", "x"), "no-such"),
        (("run", "nano-1", "--models", "tiny-base,steps", "--out", "x"), "has no value"),
        (("run", "nano-1", "--scorers", "sceen", "--out", "x"), "Did you mean 'scene'"),
        (("run", "nano-1", "--scorers", "similarity:weights=x", "--out", "x"), "cannot be made with these options"),
        (("run", "nano-1", "--scorers", "clipscore", "--out", "x"), "needs the weights"),
        (("run", "adherence-1", "--limit", "0", "--out", "x"), ""),
        (("report", "nowhere"), "no file"),
        (("power",), "spread of differences is not known"),
        (("power", "--spread", "0.3"), "nothing to compute"),
        (("power", "--spread", "0.3", "--difference", "0.1", "--prompts", "5"), "decide each other"),
    ],
)
def test_bad_input_is_one_line(
    evals: Evals, args: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = evals(*args)
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
