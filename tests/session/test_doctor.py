from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from workbench import doctor
from workbench.checks import SECTIONS, Check, section
from workbench.errors import StoreError
from workbench.redaction import redact
from workbench.settings import Settings
from workbench.store import Store


@pytest.fixture
def chosen(tmp_path: Path, tiny_klein: Any) -> Settings:
    return Settings(home=tmp_path / "home", models=tiny_klein.root, device="cpu")


@pytest.fixture
def own_section() -> Iterator[None]:
    before = dict(SECTIONS)
    yield
    SECTIONS.clear()
    SECTIONS.update(before)


def named(report: dict[str, list[Check]], title: str) -> dict[str, Check]:
    return {check.name: check for check in report[title]}


def test_an_empty_home_is_fine_and_stays_empty(chosen: Settings) -> None:
    report = doctor.examine(chosen)
    assert {"versions", "device", "memory", "disk", "database", "models", "settings"} <= set(report)
    assert doctor.worst(report) in ("ok", "warning")  # the disk of a test machine may be small
    assert not chosen.home.exists()
    assert named(report, "database")["file"].value.startswith("none yet")
    assert "klein" in named(report, "models")["tiny-base"].value
    assert named(report, "disk")["writable"].state == "ok"
    assert "argument" in named(report, "settings")["device"].value


def test_a_database_is_looked_at_and_left_alone(chosen: Settings) -> None:
    Store(chosen.home)
    path = chosen.home / "workbench.sqlite"
    before = path.read_bytes()
    found = named(doctor.examine(chosen), "database")
    assert found["integrity"].value == "ok"
    assert found["rows in pictures"].value == "0"
    assert found["schema"].state == "ok"
    assert path.read_bytes() == before
    path.write_bytes(b"not a database" * 1000)
    (line,) = [check for check in doctor.examine(chosen)["database"] if check.state == "error"]
    assert line.name == "WB104"
    assert "not a database" in line.value


def test_a_broken_address_is_told_without_its_password(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database="postgresql+nodriver://me:sesame@localhost/db", device="cpu")
    text = json.dumps(doctor.as_json(doctor.examine(settings)))
    assert "sesame" not in text
    assert "Correct the setting" in text


def test_secrets_and_the_home_folder_are_taken_out(chosen: Settings, own_section: None) -> None:
    @section("leaky")
    def leaky(_settings: Settings) -> Iterator[Check]:
        yield Check("path", str(Path.home() / "x"))
        yield Check("token", "HF_TOKEN=hf_abcdefghijkl")

    assert [one.value for one in doctor.examine(chosen)["leaky"]] == [redact(str(Path.home() / "x")), "HF_TOKEN=***"]


def test_a_section_that_fails_does_not_hide_the_others(chosen: Settings, own_section: None) -> None:
    @section("ours")
    def ours(_settings: Settings) -> list[Check]:
        raise StoreError("The disk is full.", "Free some.")

    @section("bug")
    def bug(_settings: Settings) -> list[Check]:
        raise KeyError("x")

    report = doctor.examine(chosen)
    assert report["ours"] == [Check("WB104", "The disk is full.", "error", "Free some.")]
    assert (report["bug"][0].name, report["bug"][0].state) == ("KeyError", "error")
    assert doctor.worst(report) == "error"
    assert "versions" in report


def test_every_part_exists() -> None:
    assert all(find_spec(name) for name in doctor.PARTS)
