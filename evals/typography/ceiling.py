"""The OCR engine's own error: its scores on clean rendered text, which no model can exceed. Stands beside every score.

Two kinds of pictures, because an engine's faults depend on them: `page`, texts of the project's own suites in six fonts
and colours on pages of 256 to 1024 pixels, and `scene`, words and shapes as the embedded model's renderer draws them at
128 pixels. Measured once for a version of an engine and kept under the home folder; the figures of the default engine come
with the package. Run `python -m evals.typography.ceiling` to measure those again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Literal

from PIL import Image

from evals.scoring import Sample, picture_digest
from evals.typography.ask import asked_of
from evals.typography.baselines import oracle
from evals.typography.metrics import METRICS, measure
from evals.typography.ocr import OCR, Reading
from evals.typography.readers import unreadable
from workbench.store.files import make_folder, write_atomically

Kind = Literal["page", "scene"]
RULE = "1"
"""Raised whenever the rendered pictures change."""

SHIPPED = Path(__file__).parent / "ceilings"
COUNT = 120  # pictures; a proportion near 1 is then known to about two points
SIDES = (256, 512, 768, 1024)  # pixels of a page
BATCH = 8  # pictures read between two calls of `progress`

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What an engine reads of clean pictures.

    Attributes:
        ocr: the engine's name and version.
        kind: of pictures.
        rule: version of the pictures.
        pictures: SHA-256 over all of them, 16 hexadecimal digits.
        n: pictures measured.
        failed: pictures that the engine could not read, or not in this script; no part of the means.
        means: metric of the scorer `typography` to its mean; those that no picture has are absent.
        counts: metric to the number of pictures behind its mean.
        faults: asked and read of up to twenty pictures with a fault.
    """

    ocr: str
    kind: Kind
    rule: str
    pictures: str
    n: int
    failed: int
    means: dict[str, float]
    counts: dict[str, int]
    faults: tuple[tuple[str, str], ...] = ()

    def sentence(self) -> str:
        """One line for a report."""
        accuracy, n = self.means["word_accuracy_strict"], self.counts["word_accuracy_strict"]
        false = self.means.get("false_text")
        tail = "" if false is None else f"; text seen in {100 * false:.1f} % of {self.counts['false_text']} without any"
        return (
            f"{self.ocr} reads {100 * accuracy:.1f} % of the words on clean rendered {self.kind}s (n = {n} pictures, "
            f"strict){tail}: no model can be seen to do better."
        )


def ceiling(
    ocr: OCR, kind: Kind = "page", *, home: Path | None = None, count: int = COUNT, progress: Progress | None = None
) -> Ceiling:
    """The engine's ceiling, read from `home` or the package, else measured now.

    Args:
        ocr: the engine.
        kind: `page` for suites of real models, `scene` for those of the embedded model.
        home: folder of the workbench (`WORKBENCH_HOME`); None: what is measured is kept nowhere.
        count: pictures; more take longer and say it more precisely.
        progress: told pictures done and in all; raise from it to cancel, nothing half-measured is kept.

    Raises:
        StoreError: `home` cannot be written.
    """
    name = _file(ocr, kind, count)
    path = None if home is None else home / "evals" / "ceilings" / name
    if kept := (path and _kept(path)) or _kept(SHIPPED / name):
        return kept
    measured = measure_ceiling(ocr, kind, count, progress=progress)
    if path:
        make_folder(path.parent)
        write_ceiling(measured, path)
    return measured


def write_ceiling(measured: Ceiling, path: Path) -> None:
    """Write a ceiling as JSON.

    Raises:
        StoreError: it cannot be written.
    """
    write_atomically(path, (json.dumps(asdict(measured), indent=1, ensure_ascii=False) + "\n").encode())


def measure_ceiling(ocr: OCR, kind: Kind, count: int = COUNT, *, progress: Progress | None = None) -> Ceiling:
    """Read `count` rendered pictures and score them; see `ceiling`."""
    rows = samples(kind, count)
    sums = {metric.name: 0.0 for metric in METRICS}
    counts = dict.fromkeys(sums, 0)
    faults: list[tuple[str, str]] = []
    failed = 0
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        for sample, reading in zip(batch, ocr.read([each.picture for each in batch]), strict=True):
            values = _values(ocr, sample, reading)
            failed += values is None
            for name, value in (values or {}).items():
                if value is not None:
                    sums[name] += value
                    counts[name] += 1
            if values is None or values["word_accuracy_strict"] not in (1.0, None) or values["extra_words"]:
                faults.append((" / ".join(sample.ask["text"]), " / ".join(reading.lines) or reading.error))
        if progress:
            progress(min(start + BATCH, len(rows)), len(rows))
    means = {name: sums[name] / counts[name] for name in sums if counts[name]}
    return Ceiling(
        f"{ocr.name} {ocr.version}", kind, RULE, digest_of(rows), len(rows), failed, means,
        {name: n for name, n in counts.items() if n}, tuple(faults[:20]),
    )  # fmt: skip


def samples(kind: Kind, count: int) -> list[Sample]:
    """The pictures with what they show, nine in ten with text; the same ones every time."""
    rng = Random(f"{kind} {RULE}")  # noqa: S311  # no cryptography
    make = _page if kind == "page" else _scene
    made = [make(rng, number % 10 == 9) for number in range(count)]
    return [Sample(picture, "", picture_digest(picture), {"text": texts}) for picture, texts in made]


def _page(rng: Random, textless: bool) -> tuple[Image.Image, list[str]]:
    from evals.typography import phrases

    banks = (phrases.WORDS, phrases.PHRASES, phrases.SENTENCES, phrases.LONG, phrases.MISSPELT + phrases.GIBBERISH)
    texts = [] if textless else [rng.choice(banks[rng.randrange(len(banks))])]
    if texts and rng.random() < 0.3:
        texts = [rng.choice(bank) for bank in (phrases.SHOPS, phrases.OFFERS, phrases.DATES)]
    side = rng.choice(SIDES)
    return oracle().draw(texts, width=side, height=side, seed=rng.getrandbits(32)), texts


def _scene(rng: Random, textless: bool) -> tuple[Image.Image, list[str]]:
    from workbench.nano.render import render
    from workbench.nano.scenes import sample_scene

    scene = sample_scene(rng, kind=rng.choice(("single", "relation", "count") if textless else ("word", "word+shape")))
    return Image.fromarray(render(scene)), [item.text for item in scene.items if item.text]


def _values(ocr: OCR, sample: Sample, reading: Reading) -> dict[str, float | None] | None:
    asked = asked_of(sample)
    if reading.error or unreadable(ocr, asked):
        return None
    return measure(asked.texts, reading.lines)


def digest_of(rows: Sequence[Sample]) -> str:
    """SHA-256 over the pictures, 16 hexadecimal digits."""
    return hashlib.sha256("".join(row.picture_digest for row in rows).encode()).hexdigest()[:16]


def _file(ocr: OCR, kind: Kind, count: int) -> str:
    digest = hashlib.sha256(f"{ocr.name}\n{ocr.version}\n{kind}\n{RULE}\n{count}".encode()).hexdigest()
    return f"{ocr.name}-{kind}-{digest[:16]}.json"


def _kept(path: Path) -> Ceiling | None:
    """The ceiling in a file; None where there is none or it is damaged, which only costs measuring it again."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        faults: Sequence[Sequence[str]] = raw.pop("faults")
        return Ceiling(**raw, faults=tuple((asked, read) for asked, read in faults))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _main() -> None:
    """Measure the default engine and put the figures into the package."""
    from evals.typography.rapid import RapidOcr

    engine = RapidOcr()
    kinds: tuple[Kind, ...] = ("scene", "page")
    for kind in kinds:
        write_ceiling(measure_ceiling(engine, kind), SHIPPED / _file(engine, kind, COUNT))


if __name__ == "__main__":
    _main()
