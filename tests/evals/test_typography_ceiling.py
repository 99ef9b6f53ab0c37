from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from evals.scoring import picture_digest
from evals.typography import ceiling as ceilings
from evals.typography.ceiling import SHIPPED, ceiling, digest_of, measure_ceiling, samples
from evals.typography.ocr import OCR, Reading, Region
from evals.typography.replay import ReplayOcr

COUNT = 20


def perfect(kind: ceilings.Kind, version: str) -> ReplayOcr:
    readings = {
        row.picture_digest: Reading(tuple(Region(text) for text in row.ask["text"])) for row in samples(kind, COUNT)
    }
    return ReplayOcr(readings, "perfect", version)


class Counted(ReplayOcr):
    pictures = 0

    def read(self, pictures: Sequence[Image.Image]) -> list[Reading]:
        self.pictures += len(pictures)
        return super().read(pictures)


@pytest.mark.parametrize("kind", ["scene", "page"])
def test_a_perfect_engine_reads_everything(kind: ceilings.Kind) -> None:
    found = measure_ceiling(perfect(kind, "1"), kind, COUNT)
    assert (found.n, found.failed, found.faults) == (COUNT, 0, ())
    assert found.means["word_accuracy_strict"] == 1
    assert found.counts["word_accuracy_strict"] == 18
    assert (found.means["false_text"], found.counts["false_text"]) == (0, 2)
    assert "100.0 %" in found.sentence()
    assert "n = 18" in found.sentence()


def test_failures_are_counted_and_spoil_no_mean() -> None:
    engine = perfect("scene", "failing")
    for digest in list(engine.readings)[:5]:
        engine.readings[digest] = Reading(error="broken")
    found = measure_ceiling(engine, "scene", COUNT)
    assert found.failed == 5
    assert found.means["word_accuracy_strict"] == 1
    assert found.faults[0][1] == "broken"


def test_measured_once_for_a_version(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    engine = Counted(perfect("scene", "1").readings, "counted", "1")
    first = ceiling(
        engine, "scene", home=tmp_path, count=COUNT, progress=lambda done, total: told.append((done, total))
    )
    assert engine.pictures == COUNT
    assert told == [(8, 20), (16, 20), (20, 20)]
    assert ceiling(engine, "scene", home=tmp_path, count=COUNT) == first
    assert engine.pictures == COUNT
    ceiling(Counted(engine.readings, "counted", "2"), "scene", home=tmp_path, count=COUNT)
    files = list((tmp_path / "evals" / "ceilings").iterdir())
    assert len(files) == 2
    for file in files:
        file.write_text("{}")
    assert ceiling(engine, "scene", home=tmp_path, count=COUNT) == first  # a damaged file is measured again
    assert engine.pictures == 2 * COUNT


def test_nothing_half_measured_is_kept(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        ceiling(perfect("scene", "1"), "scene", home=tmp_path, count=COUNT, progress=stop)
    assert not list(tmp_path.rglob("*.json"))


def test_the_pictures_are_the_same_every_time() -> None:
    assert digest_of(samples("scene", COUNT)) == digest_of(samples("scene", COUNT))
    assert all(picture_digest(row.picture) == row.picture_digest for row in samples("page", 2))


@pytest.fixture(scope="module")
def rapid() -> OCR:
    pytest.importorskip("rapidocr", reason="the extra 'evals' is not installed")
    from evals.typography.rapid import RapidOcr

    return RapidOcr()


def test_the_default_engines_ceilings_come_with_the_package(rapid: OCR, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "measure_ceiling", None)  # nothing may be measured
    scene, page = ceiling(rapid, "scene"), ceiling(rapid, "page")
    remedy = "run python -m evals.typography.ceiling"
    assert scene.pictures == digest_of(samples("scene", ceilings.COUNT)), remedy
    assert scene.ocr == page.ocr == f"rapidocr {rapid.version}", remedy
    assert len(list(SHIPPED.glob("*.json"))) == 2
    assert page.means["word_accuracy_strict"] >= 0.99
    assert page.means["false_text"] == 0
    assert scene.means["word_accuracy_caseless"] >= 0.95


def test_rapidocr_reads_the_first_pictures_as_the_shipped_figures_say(rapid: OCR) -> None:
    found = measure_ceiling(rapid, "scene", 10)
    faults = {fault[0] for fault in ceiling(rapid, "scene").faults}
    assert {fault[0] for fault in found.faults} <= faults
