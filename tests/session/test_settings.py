from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from workbench.errors import SettingsError
from workbench.session import Session
from workbench.settings import PREFIX, Settings, settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


def test_defaults() -> None:
    found = settings()
    assert found.home == platformdirs.user_data_path("workbench")
    assert (found.device, found.batch_size, found.models, found.database) == ("auto", None, None, None)


def test_arguments_beat_the_environment_which_beats_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "env"))
    monkeypatch.setenv("WORKBENCH_BATCH_SIZE", "3")
    assert settings().home == tmp_path / "env"
    assert settings(home=None).home == tmp_path / "env"
    assert settings(home=tmp_path).home == tmp_path
    assert settings(home=tmp_path).batch_size == 3
    session = Session(home=tmp_path, batch_size=5)
    assert (session.settings.home, session.settings.batch_size) == (tmp_path, 5)
    assert Session(Settings(home=tmp_path, batch_size=7), device="cpu").settings.batch_size == 7


def test_paths_are_made_absolute_and_home_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings(home="here").home == tmp_path / "here"
    assert settings(models="~/models").models == tmp_path / "models"


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:1"])
def test_known_devices(device: str) -> None:
    assert settings(device=device).device == device


def test_bad_values_name_the_setting_the_value_and_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"setting device cannot be 'gpu': .* device: auto, cpu, cuda"):
        settings(device="gpu")
    monkeypatch.setenv("WORKBENCH_BATCH_SIZE", "many")
    with pytest.raises(SettingsError, match=r"WORKBENCH_BATCH_SIZE cannot be 'many'.*1 to 4096"):
        settings()
    monkeypatch.setenv("WORKBENCH_BATCH_SIZE", "0")
    with pytest.raises(SettingsError, match="WORKBENCH_BATCH_SIZE cannot be '0'"):
        settings()


def test_misspelt_names_get_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"no setting 'devise'\. Did you mean 'device'"):
        settings(devise="cpu")
    monkeypatch.setenv("WORKBENCH_OTHER_PROGRAM", "1")
    settings()
    monkeypatch.setenv("WORKBENCH_DEVISE", "cpu")
    with pytest.raises(SettingsError, match=r"Did you mean 'WORKBENCH_DEVICE'"):
        settings()
