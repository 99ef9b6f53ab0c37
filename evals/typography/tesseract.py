"""Tesseract by its own program: a second opinion of another kind of engine, fast, and weaker on pictures than RapidOCR.

The program reads a picture from its standard input and writes a table of words, which are put together to lines.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from evals.typography.ocr import OcrError, Reading, Region, in_reading_order

LEAST_SIDE = 600  # pixels; a smaller picture is enlarged to this, which doubles what is read at 64 pixels
SECONDS = 60  # after which one picture is given up
WORD = "5"  # the table's level of words


class Tesseract:
    """The program `tesseract`.

    Args:
        language: of its trained data, for example "eng", "deu" or "eng+fra".
        psm: page segmentation mode: 6 one block of text, 11 scattered text.
        program: name or path of the program.
        workers: pictures read at once; default: one a core, four at most.

    Raises:
        OcrError: the program or the language's data is not there.
    """

    name = "tesseract"
    alphabet = None

    def __init__(
        self, language: str = "eng", *, psm: int = 6, program: str = "tesseract", workers: int | None = None
    ) -> None:
        found = shutil.which(program)
        if found is None:
            raise OcrError(
                f"The program {program!r} is not there.",
                "Debian and Ubuntu: apt install tesseract-ocr; macOS: brew install tesseract; Windows: see "
                "https://tesseract-ocr.github.io/tessdoc/Installation.html.",
            )
        self._command = [found, "stdin", "stdout", "-l", language, "--psm", str(psm), "tsv"]
        self.workers = workers or min(4, os.cpu_count() or 1)
        installed = self._ask(found, "--list-langs").splitlines()[1:]
        if missing := [each for each in language.split("+") if each not in installed]:
            raise OcrError(
                f"Tesseract has no data for {', '.join(missing)}.",
                f"Debian and Ubuntu: apt install tesseract-ocr-{missing[0]}. It has: {', '.join(installed)}.",
            )
        release = self._ask(found, "--version").split("\n")[0].removeprefix("tesseract ").strip()
        self.version = f"{release}-{language}-psm{psm}-up{LEAST_SIDE}"

    def read(self, pictures: Sequence[Image.Image]) -> list[Reading]:
        """See `OCR.read`."""
        with ThreadPoolExecutor(self.workers, "ocr") as pool:
            return list(pool.map(self._read, pictures))

    def _read(self, picture: Image.Image) -> Reading:
        scale = max(1.0, LEAST_SIDE / min(picture.size))
        size = (round(picture.width * scale), round(picture.height * scale))
        file = io.BytesIO()
        picture.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(file, "PNG")
        try:
            done = subprocess.run(  # noqa: S603  # a program the user names, no shell
                self._command, input=file.getvalue(), capture_output=True, timeout=SECONDS, check=True,
                env=os.environ | {"OMP_THREAD_LIMIT": "1"},
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            return Reading(error=f"{self.name} failed: {type(error).__name__}: {error}")
        return Reading(in_reading_order(lines_of(done.stdout.decode("utf-8", "replace"), scale)))

    def _ask(self, program: str, question: str) -> str:
        try:
            done = subprocess.run(  # noqa: S603  # as above
                [program, question], capture_output=True, timeout=SECONDS, check=True, text=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise OcrError(f"The program {program!r} does not answer: {error}.", "Install Tesseract again.") from None
        return done.stdout or done.stderr


def lines_of(table: str, scale: float = 1.0) -> list[Region]:
    """The lines in Tesseract's table of words.

    Args:
        table: tab-separated, with a header.
        scale: by which the picture was enlarged.
    """
    lines: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(table), delimiter="\t", quoting=csv.QUOTE_NONE):
        if row["level"] == WORD and row["text"].strip():
            lines.setdefault((row["block_num"], row["par_num"], row["line_num"]), []).append(row)
    return [_line(words, scale) for words in lines.values()]


def _line(words: list[dict[str, str]], scale: float) -> Region:
    left, top = (min(float(word[side]) for word in words) / scale for side in ("left", "top"))
    right, bottom = (
        max(float(word[start]) + float(word[extent]) for word in words) / scale
        for start, extent in (("left", "width"), ("top", "height"))
    )
    confidence = min(float(word["conf"]) for word in words) / 100
    return Region(" ".join(word["text"] for word in words), (left, top, right, bottom), max(0.0, confidence))
