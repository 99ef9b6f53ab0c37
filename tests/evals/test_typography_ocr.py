from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from evals.scoring import picture_digest
from evals.typography.draw import page
from evals.typography.ocr import OCR, OcrError, Reading, Region
from evals.typography.replay import ReplayOcr, record
from evals.typography.tesseract import Tesseract, lines_of
from evals.typography.vlm import VisionLanguageOcr, answered
from tests.evals.tiny_vision import write_qwen_vl

WORDS = ["Slow Down", "Exit 42"]


@pytest.fixture(scope="module")
def rapid() -> OCR:
    pytest.importorskip("rapidocr", reason="the extra 'evals' is not installed")
    from evals.typography.rapid import RapidOcr

    return RapidOcr(workers=2)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (128, 128), (256, 256), (512, 300), (900, 900)])
def test_rapidocr_reads_clean_words(rapid: OCR, width: int, height: int) -> None:
    picture = page(["Exit 42"] if width == 64 else WORDS, width=width, height=height, seed=3)
    (reading,) = rapid.read([picture])
    assert " ".join(reading.lines) == ("Exit 42" if width == 64 else "Slow Down Exit 42")
    for region in reading.regions:
        left, top, right, bottom = region.box
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert 0.5 <= region.confidence <= 1


def test_boxes_hold_the_ink(rapid: OCR) -> None:
    picture = Image.new("RGB", (200, 120), "white")
    ImageDraw.Draw(picture).text((40, 60), "HELLO", "black", font_size=32)
    ink = Image.eval(picture.convert("L"), lambda value: 255 - value).getbbox()
    (reading,) = rapid.read([picture])
    assert reading.lines == ["HELLO"]
    assert ink is not None
    assert all(abs(seen - true) < 14 for seen, true in zip(reading.regions[0].box, ink, strict=True))


def test_rapidocr_does_not_mend_spelling(rapid: OCR) -> None:
    words = ["Resturant", "Tommorow", "Vrelkt"]
    readings = rapid.read([page([word], width=256, height=128, seed=place) for place, word in enumerate(words)])
    assert [reading.text for reading in readings] == words


def test_rapidocr_bad_and_empty_pictures(rapid: OCR) -> None:
    blank = Image.new("RGB", (64, 64), "white")
    broken = Image.new("RGB", (64, 64))
    broken.close()
    good = page(["Exit"], width=128, height=128)
    readings = rapid.read([blank, broken, good, Image.new("L", (300, 8), 255)])
    assert readings[0] == Reading()
    assert "failed" in readings[1].error
    assert readings[2].text == "Exit"
    assert readings[3].error == ""
    assert rapid.read([]) == []


def test_rapidocr_says_what_decides_its_readings(rapid: OCR) -> None:
    from evals.typography.rapid import RapidOcr

    assert isinstance(rapid, OCR)
    assert rapid.version == RapidOcr(workers=1).version
    assert rapid.version != RapidOcr(512).version
    assert rapid.alphabet is not None
    assert set("Az09é书 ") <= rapid.alphabet
    assert not set("שלום") & rapid.alphabet
    with pytest.raises(OcrError, match="512 or 736"):
        RapidOcr(300)


def test_one_worker_and_two_read_alike(rapid: OCR) -> None:
    from evals.typography.rapid import RapidOcr

    pictures = [page(WORDS, width=160, height=160, seed=seed) for seed in range(4)]
    assert RapidOcr(workers=1).read(pictures) == rapid.read(pictures)


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="the program tesseract is not installed")
def test_tesseract() -> None:
    engine = Tesseract(workers=1)
    assert isinstance(engine, OCR)
    (reading, blank) = engine.read(
        [page(WORDS, width=256, height=256, seed=3, font="DejaVuSans"), Image.new("RGB", (64, 64), "white")]
    )
    assert " ".join(reading.lines) == " ".join(WORDS)
    assert reading.regions[0].box[3] < 256
    assert blank == Reading()
    with pytest.raises(OcrError, match="no data for"):
        Tesseract("xxx")


def test_tesseract_that_is_not_there() -> None:
    with pytest.raises(OcrError, match="apt install tesseract-ocr"):
        Tesseract(program="no-such-program")


def test_tesseracts_table() -> None:
    head = "level page_num block_num par_num line_num word_num left top width height conf text".replace(" ", "\t")
    rows = [
        "1 1 0 0 0 0 0 0 600 600 -1 ",
        '5 1 1 1 1 1 20 40 100 30 96.5 "Slow',
        "5 1 1 1 1 2 140 42 80 28 90.0 Down",
        "5 1 1 1 2 1 20 100 60 30 80.0 Exit",
        "5 1 1 1 2 2 90 100 60 30 12.0  ",
    ]
    lines = lines_of("\n".join([head, *(row.replace(" ", "\t", 11) for row in rows)]), scale=2.0)
    assert lines == [Region('"Slow Down', (10, 20, 110, 35), 0.9), Region("Exit", (10, 50, 40, 65), 0.8)]


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        ("SLOW DOWN\n\n Exit 42 ", ["SLOW DOWN", "Exit 42"]),
        ("NO TEXT", []),
        ("No text.", []),
        ("", []),
        ("No text\nhere", ["No text", "here"]),
    ],
)
def test_answers_of_a_vision_language_model(answer: str, lines: list[str]) -> None:
    assert answered(answer).lines == lines


def test_a_vision_language_model_reads(tmp_path: Path) -> None:
    folder = write_qwen_vl(tmp_path / "tiny")
    engine = VisionLanguageOcr(folder, device="cpu", most_tokens=6)
    assert isinstance(engine, OCR)
    first, again = (engine.read([page(["Exit"], width=64, height=64)])[0] for _ in range(2))
    assert first == again
    assert first.error in ("", "the answer was not finished after 6 tokens")  # random weights may never stop
    assert engine.version != VisionLanguageOcr(folder, device="cpu", most_tokens=7).version
    broken = Image.new("RGB", (64, 64))
    broken.close()
    assert "failed" in engine.read([broken])[0].error
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(OcrError, match="cannot be loaded"):
        VisionLanguageOcr(folder, device="cpu")


def test_a_folder_without_a_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OcrError, match="no model"):
        VisionLanguageOcr(tmp_path)


def test_replay(tmp_path: Path) -> None:
    pictures = [page(["Exit"], width=64, height=64, seed=seed) for seed in range(3)]
    readings = {
        picture_digest(pictures[0]): Reading((Region("Ausfahrt für Größe 书", (1.0, 2.0, 3.0, 4.0), 0.5),)),
        picture_digest(pictures[1]): Reading(error="broken"),
    }
    engine = ReplayOcr(readings, "paddleocr", "2.10")
    engine.save(tmp_path / "readings.json")
    again = ReplayOcr.load(tmp_path / "readings.json")
    assert (again.name, again.version) == ("paddleocr", "2.10")
    assert again.read(pictures)[:2] == engine.read(pictures)[:2] == list(readings.values())
    assert "recorded" in again.read(pictures)[2].error
    assert record(engine, pictures[:2]).readings == readings


@pytest.mark.parametrize("text", ["", "{}", '{"format": "other"}', "[1]", '{"format": "flux-workbench readings"}'])
def test_files_that_are_no_readings(tmp_path: Path, text: str) -> None:
    path = tmp_path / "readings.json"
    path.write_text(text)
    with pytest.raises(OcrError, match=r"readings\.json"):
        ReplayOcr.load(path)
    bad = {"format": "flux-workbench readings", "name": "x", "version": "1", "readings": {"0": {"regions": [{}]}}}
    path.write_text(json.dumps(bad))
    with pytest.raises(OcrError, match="cannot be used"):
        ReplayOcr.load(path)
