from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from workbench.errors import SettingsError
from workbench.settings import PREFIX, Settings, files, origins, settings


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working folder, and a home beside it named by the environment."""
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    (tmp_path / "work").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    return tmp_path


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def test_every_layer_beats_the_one_below(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().device == "auto"
    write(place / "home" / "workbench.yaml", "device: cuda:1\nbatch_size: 2\nlog_level: info\n")
    assert (settings().device, settings().batch_size) == ("cuda:1", 2)
    write(place / "work" / "workbench.yaml", "# here\n\ndevice: cuda:2\n")
    assert (settings().device, settings().batch_size) == ("cuda:2", 2)
    monkeypatch.setenv("WORKBENCH_DEVICE", "cuda:3")
    assert settings().device == "cuda:3"
    assert settings(device="cpu").device == "cpu"
    told = {origin.name: (origin.value, origin.source, origin.place) for origin in origins(device="cpu")}
    assert told["device"] == ("cpu", "argument", "")
    assert told["batch_size"] == ("2", "file", f"{place / 'home' / 'workbench.yaml'}, line 2")
    assert told["home"][1:] == ("environment", "WORKBENCH_HOME")
    assert told["models"] == (None, "default", "")
    monkeypatch.delenv("WORKBENCH_DEVICE")
    told = {origin.name: (origin.value, origin.source, origin.place) for origin in origins()}
    assert told["device"] == ("cuda:2", "file", f"{place / 'work' / 'workbench.yaml'}, line 3")


def test_a_file_in_the_working_folder_may_name_the_home_and_paths_count_from_the_file(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORKBENCH_HOME")
    write(place / "work" / "workbench.yaml", "home: data\nmodels: ../models\n")
    (place / "work" / "data").mkdir()
    write(place / "work" / "data" / "workbench.yaml", "models: mine\nbatch_size: 5\n")
    found = settings()
    assert (found.home, found.models) == (place / "work" / "data", place / "work" / ".." / "models")
    assert found.batch_size == 5
    assert files() == [place / "work" / "workbench.yaml", place / "work" / "data" / "workbench.yaml"]
    write(place / "work" / "data" / "workbench.yaml", "home: elsewhere\n")
    with pytest.raises(SettingsError, match="line 1: the home folder cannot name another home"):
        settings()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "device: cpu\ndevise: cuda\n",
            r"workbench\.yaml, line 2: there is no setting 'devise'\. Did you mean 'device'",
        ),
        ("\n\nbatch_size: many\n", r"line 3: the setting batch_size cannot be 'many'.*1 to 4096"),
        ("batch_size: 0\n", r"line 1: the setting batch_size cannot be 0"),
        ("device: gpu\n", r"line 1: the setting device cannot be 'gpu'"),
        ("log_level: loud\n", r"line 1: the setting log_level cannot be 'loud'"),
        ("device: cpu\ndevice: cpu\n", r"line 2: the setting 'device' is given twice\. It is on line 1 too"),
        ("device: [cpu]\n", r"line 1: the setting 'device' is no single value"),
        ("device: !!python/object:os.system x\n", r"line 1: the setting 'device' cannot be 'x'"),
        ("device: !cpu x\n", r"line 1: the setting 'device' cannot be 'x'"),
        ("device: 2001-99-99\n", r"line 1: the setting 'device' cannot be"),
        ("device: 'cpu\n", r"line 2 is not valid YAML"),
        ("- device\n", "is no list of settings"),
        ("? [a]\n: b\n", "there is no setting"),
        ("a: " + "x" * 70_000, "larger than"),
    ],
)
@pytest.mark.parametrize("folder", ["work", "home"])
def test_mistakes_are_told_with_file_line_and_the_nearest_right_name(
    place: Path, folder: str, text: str, why: str
) -> None:
    write(place / folder / "workbench.yaml", text)
    with pytest.raises(SettingsError, match=why):
        settings()


def test_passwords_are_never_shown(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place / "home" / "workbench.yaml", "database: postgresql://me:sesame@localhost/db\n")
    assert settings().database == "postgresql://me:sesame@localhost/db"
    told = {origin.name: origin.value for origin in origins()}
    assert told["database"] == "postgresql://me:***@localhost/db"
    assert "sesame" not in repr(settings())
    write(place / "home" / "workbench.yaml", "device: postgresql://me:sesame@localhost/db\n")
    with pytest.raises(SettingsError) as caught:
        settings()
    assert "sesame" not in str(caught.value)


def test_an_empty_file_or_value_says_nothing(place: Path) -> None:
    write(place / "work" / "workbench.yaml", "\ufeff# nothing\ndevice:\n")
    assert settings().device == "auto"
    (place / "work" / "workbench.yaml").write_bytes(b"")
    assert settings().device == "auto"
    (place / "work" / "workbench.yaml").unlink()
    (place / "work" / "workbench.yaml").mkdir()
    with pytest.raises(SettingsError, match=r"Cannot read .* directory"):
        settings()


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_file_is_read_or_refused(place: Path, content: str | bytes) -> None:
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    (place / "work" / "workbench.yaml").write_bytes(data)
    try:
        settings()
    except SettingsError as error:
        assert "workbench.yaml" in str(error)  # noqa: PT017  # either outcome is right
