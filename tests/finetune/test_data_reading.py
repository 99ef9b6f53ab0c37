"""Reading data sets of every form into examples."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from finetune.data import (
    DataConfig,
    DataConfigError,
    DataError,
    Dataset,
    PictureError,
    describe_difference,
    read_dataset,
)
from tests.finetune.training import picture, put
from workbench.engine.events import CancelToken
from workbench.errors import Cancelled

NANO = "flux2-klein-nano"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "cats"
    for number in range(4):
        put(root / f"{number}.png", picture(number), f"cat {number}\n")
    return root


def read(values: Any, **more: Any) -> Dataset:
    return read_dataset(DataConfig.parse(values if isinstance(values, str) else {**values, **more}), NANO)


def test_a_folder_with_captions(folder: Path) -> None:
    put(folder / "sub" / "deep.png", picture(9), "a deep cat")
    put(folder / ".hidden" / "x.png", picture(10), "never")
    data = read(str(folder))
    assert [each.id for each in data.examples] == [
        "cats/0.png",
        "cats/1.png",
        "cats/2.png",
        "cats/3.png",
        "cats/sub/deep.png",
    ]
    assert [each.caption for each in data.examples[::4]] == ["cat 0", "a deep cat"]
    first = data.examples[0]
    (bucket,) = first.buckets
    assert (first.width, first.height, str(bucket)) == (160, 128, "144x112")
    assert first.open(bucket).size == (144, 112)
    assert data.texts == ("cat 0", "cat 1", "cat 2", "cat 3", "a deep cat", "")
    assert sum(row.draws for row in data.buckets()) == 5


def test_several_captions_of_one_picture(folder: Path) -> None:
    (folder / "0.txt").write_text("one\n\n two \n", encoding="utf-8")
    assert read(str(folder)).examples[0].captions == ("one two",)
    assert read({"path": str(folder), "captions": "lines"}).examples[0].captions == ("one", "two")


def test_metadata_decide_what_belongs(folder: Path) -> None:
    rows = [{"file_name": "2.png", "text": "two"}, {"file_name": "0.png", "text": ["zero", "nought"]}]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    for path in (folder, folder / "metadata.jsonl"):
        data = read({"path": str(path), "name": "cats"})
        assert [(each.id, each.captions) for each in data.examples] == [
            ("cats/2.png", ("two",)),
            ("cats/0.png", ("zero", "nought")),
        ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "is not JSON"),
        ("[1]", "is no object"),
        ('{"text": "x"}', "no 'file_name'"),
        ('{"file_name": "../secret.png", "text": "x"}', "leads out of its folder"),
        ('{"file_name": "/etc/passwd", "text": "x"}', "leads out of its folder"),
        ('{"file_name": "0.png", "mask": "a/../../x.png", "text": "x"}', "leads out of its folder"),
        ('{"file_name": "0.png", "source": "..\\\\x.png", "text": "x"}', "leads out of its folder"),
        ('{"file_name": "0.png", "text": 7}', "is no text"),
        ('{"file_name": "0.png"}\n{"file_name": "0.png"}', "a second time"),
    ],
)
def test_broken_metadata_name_the_line(folder: Path, line: str, words: str) -> None:
    (folder / "metadata.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read(str(folder))


def test_pairs_masks_and_regularisation(folder: Path) -> None:
    for number in range(4):
        put(folder / "control" / f"{number}.jpg", picture(20 + number))
        put(folder / "control_2" / f"{number}.png", picture(30 + number, (320, 96)))
    mask = Image.new("L", (160, 128))
    mask.paste(255, (0, 0, 80, 128))
    put(folder / "masks" / "1.png", mask)
    put(folder / "reg" / "r.png", picture(40), "a dog")
    data = read({"path": str(folder), "trigger": "wug", "flip": True})
    pair, masked, dog = data.examples[0], data.examples[1], data.examples[4]
    (bucket,) = pair.buckets
    assert str(bucket) == "144x112 + 144x112 + 224x64"
    first, second = pair.references_for(bucket)
    assert (first.size, second.size) == ((144, 112), (224, 64))
    whole = picture(30, (320, 96))
    for variant in (0, 1):  # a reference of the picture's size is cut and mirrored exactly as it
        own = np.asarray(pair.open(bucket, variant), int)
        turned = pair.references_for(bucket, variant)
        assert own.shape[:2] == (112, 144)
        mirrored = np.asarray(pair.references_for(bucket, 1 - variant)[0])[:, ::-1]
        assert np.array_equal(np.asarray(turned[0]), mirrored)
    assert whole.size == (320, 96)
    cut_mask = masked.mask_for(bucket)
    assert cut_mask is not None
    assert (cut_mask.getpixel((5, 50)), cut_mask.getpixel((140, 50))) == (255, 0)
    mirrored_mask = masked.mask_for(bucket, 1)
    assert mirrored_mask is not None
    assert mirrored_mask.getpixel((5, 50)) == 0
    assert pair.mask_for(bucket) is None
    assert dog.id == "cats/reg/r.png"
    assert (dog.regularisation, dog.caption, dog.references) == (True, "a dog", ())
    assert pair.caption == "wug, cat 0"


def test_content_keys_name_what_is_trained_on(folder: Path) -> None:
    data = read({"path": str(folder), "crops": 2, "resolutions": [64, 128]})
    keys = {each.content_key(b, v) for each in data.examples for b in each.buckets for v in range(2)}
    assert len(keys) == 4 * 2 * 2
    before = data.examples[0].content_key(data.examples[0].buckets[0])
    (folder / "0.txt").write_text("another caption", encoding="utf-8")
    put(folder / "0.png", picture(0), None)  # written again with the same pixels
    again = read({"path": str(folder), "crops": 2, "resolutions": [64, 128]}).examples[0]
    assert again.content_key(again.buckets[0]) == before


@pytest.mark.parametrize(
    ("caption", "seen"),
    [
        ("a cat", "wug, a cat"),
        ("a [trigger] cat and [trigger]", "a wug cat and wug"),
        ("the wug sleeps", "the wug sleeps"),
        ("wugs sleep", "wug, wugs sleep"),
    ],
)
def test_where_the_trigger_goes(folder: Path, caption: str, seen: str) -> None:
    (folder / "0.txt").write_text(caption, encoding="utf-8")
    assert read({"path": str(folder), "trigger": "wug"}).examples[0].caption == seen
    template = read({"path": str(folder), "trigger": "wug", "trigger_template": "{caption} in {trigger} style"})
    assert template.examples[1].caption == "cat 1 in wug style"


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def cell(image: Image.Image) -> dict[str, Any]:
    file = io.BytesIO()
    image.save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def test_parquet_gives_the_same_pixels_as_a_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    rows = [
        {"image": cell(picture(n)), "text": f"cat {n}", "source": cell(picture(50 + n)), "mask": None} for n in range(4)
    ]
    rows[2]["mask"] = cell(Image.new("L", (160, 128), 255))
    data = read(str(parquet(tmp_path / "cats.parquet", rows)))
    plain = read(str(folder))
    assert [each.digest for each in data.examples] == [each.digest for each in plain.examples]
    assert [each.caption for each in data.examples] == [f"cat {n}" for n in range(4)]
    assert data.examples[0].id == "cats.parquet/000000"
    assert [each.mask is not None for each in data.examples] == [False, False, True, False]
    (bucket,) = data.examples[3].buckets
    (reference,) = data.examples[3].references_for(bucket)
    assert reference.size == (144, 112)
    with pytest.raises(DataError, match="has no column 'photo'"):
        read({"path": str(tmp_path / "cats.parquet"), "image_column": "photo"})
    with pytest.raises(DataError, match="holds no pictures"):
        read({"path": str(tmp_path / "cats.parquet"), "image_column": "text"})


def test_a_data_set_of_the_hub_is_read_by_its_library(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline, with a folder in the place of a repository: the same call, the same kind of rows."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    rows = [{"file_name": f"{n}.png", "text": f"cat {n}"} for n in range(4)]
    plain = read(str(folder))
    for path in folder.glob("*.txt"):  # which the library would take for a data set of texts
        path.unlink()
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    data = read({"path": str(folder), "kind": "hub", "name": "owner/cats"})
    assert [(each.digest, each.caption) for each in data.examples] == [
        (each.digest, each.caption) for each in plain.examples
    ]
    assert data.examples[1].id == "owner/cats/000001"
    with pytest.raises(DataError, match="cannot be read"):
        read({"path": str(folder), "kind": "hub", "split": "nowhere"})


def test_a_table_cannot_name_files(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    rows = [
        {"image": {"bytes": None, "path": str(folder / "0.png")}, "text": "a cat"},
        {"image": cell(picture(1)), "text": "x"},
    ]
    with pytest.raises(DataError, match="There are no bytes in row 0"):
        read(str(parquet(tmp_path / "odd.parquet", rows)))


Spoil = Callable[[Path], object]
SPOILED: list[tuple[Spoil, str]] = [
    (lambda root: (root / "1.png").write_bytes(b"no picture"), "1 unreadable"),
    (lambda root: (root / "1.txt").unlink(), "1 without a caption: cats/1.png"),
    (lambda root: (root / "1.txt").write_text(" \n"), "1 without a caption: cats/1.png"),
    (lambda root: put(root / "control" / "0.png", picture(1)), "3 without a reference"),
    (lambda root: put(root / "masks" / "0.png", Image.new("L", (16, 16), 255)), "mask of another size"),
    (lambda root: put(root / "masks" / "0.png", Image.new("L", (160, 128))), "mask that is black all over"),
    (lambda root: put(root / "1.png", picture(1, (63, 300))), "1 too small"),
    (lambda root: (root / "1.txt").write_text("a [trigger]"), "where there is no trigger word"),
    (lambda root: put(root / "1.jpg", picture(1)), "share one caption file"),
    (lambda root: (root / "1.txt").write_bytes(b"\xff\xfe\xfa"), "is not UTF-8"),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILED, ids=[words for _, words in SPOILED])
def test_nothing_is_skipped_in_silence(folder: Path, spoil: Spoil, words: str) -> None:
    assert len(read(str(folder)).examples) == 4
    spoil(folder)
    with pytest.raises(DataError) as caught:
        read(str(folder))
    assert words in str(caught.value)


def test_more_references_than_the_family_takes_are_refused(folder: Path) -> None:
    for number in range(4):
        for name in ("control", "control_2"):
            put(folder / name / f"{number}.png", picture(number))
    with pytest.raises(DataError, match="more than 1 reference"):
        read_dataset(str(folder), "flux1-kontext")


def test_empty_and_missing_places(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        read(str(tmp_path / "none"))
    with pytest.raises(DataError, match="There is no picture"):
        read(str(tmp_path))


def test_held_out_pictures_are_chosen_by_content(folder: Path) -> None:
    data = read({"path": str(folder), "held_out": 1})
    assert (len(data.examples), len(data.held_out)) == (3, 1)
    chosen = data.held_out[0].digest
    for path in sorted(folder.glob("*.*")):
        path.rename(path.with_name(f"x{path.name}"))
    assert read({"path": str(folder), "held_out": 1}).held_out[0].digest == chosen
    twin = Image.open(folder / f"x{Path(data.held_out[0].id).name}")
    put(folder / "twin.png", twin, "the same again")
    again = read({"path": str(folder), "held_out": 1})
    assert {each.digest for each in again.examples}.isdisjoint(each.digest for each in again.held_out)
    with pytest.raises(DataConfigError, match="leaves none to train on"):
        read({"path": str(folder), "held_out": 5})


def test_a_picture_that_changes_after_reading_is_noticed(folder: Path) -> None:
    data = read(str(folder))
    put(folder / "0.png", picture(99))
    with pytest.raises(PictureError, match=r"0\.png .* changed"):
        data.examples[0].open(data.examples[0].buckets[0])


def test_fingerprints_and_their_difference_in_words(folder: Path) -> None:
    values = {"path": str(folder)}
    old = read(values)
    assert read(values).fingerprint == old.fingerprint
    assert describe_difference(old.manifest, json.loads(json.dumps(read(values).manifest))) == []
    moved = folder.rename(folder.parent / "elsewhere")
    assert read({"path": str(moved), "name": "cats"}).fingerprint == old.fingerprint  # no path decides
    moved.rename(folder)

    put(folder / "0.png", picture(77))
    (folder / "1.txt").write_text("a dog", encoding="utf-8")
    (folder / "2.png").unlink()
    (folder / "2.txt").unlink()
    put(folder / "4.png", picture(4), "new")
    new = read(values, repeats=2, caption_dropout=0.2)
    assert new.fingerprint != old.fingerprint
    assert describe_difference(old.manifest, new.manifest) == [
        "caption_dropout: 0.05 became 0.2",
        "gone: cats/2.png",
        "new: cats/4.png",
        "pixels changed: cats/0.png",
        "caption of cats/1.png changed: ['cat 1'] became ['a dog']",
        "repeats changed: cats/0.png, cats/1.png, cats/3.png",
    ]


@pytest.mark.parametrize("change", [{"weight": 2.0}, {"repeats": 2}, {"flip": True}, {"crops": 2}, {"held_out": 1},
    {"trigger": "wug"}, {"resolutions": [64]}, {"regularisation": True}, {"caption_dropout": 0.5}], ids=str)  # fmt: skip
def test_everything_that_decides_training_is_in_the_fingerprint(folder: Path, change: dict[str, Any]) -> None:
    old, new = read({"path": str(folder)}), read({"path": str(folder)}, **change)
    assert old.fingerprint != new.fingerprint
    assert describe_difference(old.manifest, new.manifest)


def test_a_scan_can_be_stopped(folder: Path) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        read_dataset(str(folder), NANO, token=token)
    seen: list[tuple[int, int]] = []
    read_dataset(str(folder), NANO, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
