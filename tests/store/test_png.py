from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from workbench.errors import StoreError
from workbench.store.files import check_writable, write_atomically
from workbench.store.png import pixel_sha256, read_picture, write_picture

TEXT = st.text(st.characters(), max_size=40)  # surrogates, control characters and NUL included
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)
PICTURE = Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("png")


@settings(deadline=None, max_examples=60)  # a deadline would measure the disk
@given(metadata=st.dictionaries(TEXT.filter(lambda key: key != "pixels"), JSON, max_size=5), prompt=TEXT)
def test_any_metadata_comes_back(folder: Path, metadata: dict[str, Any], prompt: str) -> None:
    metadata |= {"recipe": {"prompt": prompt, "negative_prompt": prompt, "steps": 4}}
    path = folder / "round-trip.png"
    write_picture(path, PICTURE, metadata)
    picture, read = read_picture(path)
    assert read == metadata | {"pixels": pixel_sha256(PICTURE)}
    assert picture.tobytes() == PICTURE.tobytes()


def test_other_tools_see_the_recipe_in_words(folder: Path) -> None:
    path = folder / "words.png"
    recipe = {"prompt": "ein rotes Quadrat → 红", "negative_prompt": "blur", "steps": 4, "seed": 7, "width": 64}
    recipe |= {"height": 32, "model": "tiny", "guidance_scale": 2.5, "adapters": [{"name": "ink", "weight": 0.5}]}
    write_picture(path, PICTURE, {"recipe": recipe})
    with Image.open(path) as file:
        words = file.info["parameters"]
    assert words.splitlines() == [
        "ein rotes Quadrat → 红",
        "Negative prompt: blur",
        "Steps: 4, CFG scale: 2.5, Seed: 7, Size: 64x32, Model: tiny, Adapters: ink x 0.5",
    ]


def test_alpha_is_not_kept_and_the_hash_is_of_what_is_kept(folder: Path) -> None:
    path = folder / "alpha.png"
    write_picture(path, PICTURE.convert("RGBA"), {})
    picture, metadata = read_picture(path)
    assert picture.mode == "RGB"
    assert metadata["pixels"] == pixel_sha256(picture)


def test_foreign_pictures_have_no_metadata(folder: Path) -> None:
    PICTURE.save(folder / "foreign.png")
    PICTURE.save(folder / "foreign.jpg")
    assert read_picture(folder / "foreign.png")[1] == {}
    assert read_picture(folder / "foreign.jpg")[1] == {}


def test_what_is_no_picture_is_said_in_a_sentence(folder: Path) -> None:
    with pytest.raises(StoreError, match=r"There is no file .*absent\.png"):
        read_picture(folder / "absent.png")
    (folder / "text.png").write_text("hello")
    with pytest.raises(StoreError, match=r"Cannot read .*text\.png"):
        read_picture(folder / "text.png")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_picture_is_refused(folder: Path, share: float) -> None:
    path = folder / "cut.png"
    write_picture(path, PICTURE.resize((128, 128)), {"prompt": "x"})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(StoreError, match="Cannot read"):
        read_picture(path)


def test_metadata_that_is_no_json_object_is_refused(folder: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    for text in ("{", "[1]"):
        chunks = PngInfo()
        chunks.add_text("workbench", text)
        PICTURE.save(folder / "broken.png", pnginfo=chunks)
        with pytest.raises(StoreError, match=r"metadata .* is damaged"):
            read_picture(folder / "broken.png")


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("existing", [True, False])
def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, existing: bool
) -> None:
    path = tmp_path / "picture.png"
    if existing:
        path.write_bytes(b"old")

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os if call == "fsync" else Path, call, fail)
    with pytest.raises(StoreError, match=r"no space left on device.* Free some disk space"):
        write_picture(path, PICTURE, {})
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([b"old"] if existing else [])


def test_an_interrupt_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_picture(tmp_path / "picture.png", PICTURE, {})
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_folder_is_named_with_a_remedy(read_only_folder: Path) -> None:
    for write in (check_writable, lambda path: write_atomically(path, b"x")):
        with pytest.raises(StoreError, match=r"permission denied.* may write to"):
            write(read_only_folder / "picture.png")
    assert list(read_only_folder.iterdir()) == []


def test_places_that_cannot_be_written_are_found_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    for path, remedy in (
        (tmp_path / "absent" / "a.png", "Make the folder first"),
        (tmp_path / "file" / "a.png", "whose parent is a folder"),
        (tmp_path / "folder.png", "a file name, not a folder"),
        (tmp_path / ("x" * 300 + ".png"), "shorter name"),
    ):
        for write in (check_writable, lambda path: write_atomically(path, b"x")):
            with pytest.raises(StoreError, match=remedy):
                write(path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder.png"]


def test_a_good_place_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "old.png"
    path.write_bytes(b"old")
    check_writable(path)
    check_writable(tmp_path / "new.png")
    assert [file.name for file in tmp_path.iterdir()] == ["old.png"]
    assert path.read_bytes() == b"old"
