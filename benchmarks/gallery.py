"""How fast a gallery of many pictures answers: searches, the first page, counts, marks.

    python benchmarks/gallery.py --rows 100000 [--home DIR] [--json FILE]

Makes a store of synthetic rows (prompts of the scene grammar, four models, adapters, tags, boards, scores, notes) whose
newest pictures have real files of 1024 x 1024 pixels, then asks each question several times, with a warm disk, and
prints the median, the fastest, and the processor's time. Bars: 50 ms for a search, 200 ms for the first page with its
thumbnails.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import insert

from workbench.store import Store
from workbench.store.facts import adapter_rows, fact_values, source_rows
from workbench.store.gallery import PAGE, Gallery
from workbench.store.gallery_tables import (
    AdapterRow,
    BoardPictureRow,
    BoardRow,
    GalleryRow,
    ScoreRow,
    SourceRow,
    TagRow,
)  # fmt: skip
from workbench.store.png import write_picture
from workbench.store.tables import PictureRow

COLOURS = "red blue green yellow purple orange black white".split()
SHAPES = "circle square triangle star heart hexagon".split()
PLACES = ["left of", "right of", "above", "below"]
WORDS = "FLUX MOON RIVER CODE LAMP STONE".split()
MODELS = ["klein-nano-base", "klein-nano", "FLUX.2-klein-4B", "FLUX.2-klein-base-4B"]
CHUNK = 5000
QUERIES = {
    "everything": "",
    "a word in most": "circle",
    "a word in some": '"red circle"',
    "words in few": '"red circle" "blue heart" river',
    "part of a word": "exago",
    "nothing found": "zeppelin",
    "numbers": "steps>=8 guidance<4 width:1024",
    "one seed": "seed:777",
    "model and number": "model:klein-4b steps:4..8",
    "adapter": "adapter:ink",
    "adapter weight": "adapter.ink>0.8",
    "tag": "tag:good",
    "tag, not star": "tag:good -star",
    "board": "board:winners",
    "score": "score.clip>0.9",
    "score and word": 'score.clip>0.3 "green star"',
    "time": "created>30d",
    "of the issue": f'model:klein steps>=8 tag:good "red circle" score.clip>0.3 created>{datetime.now(UTC).year - 1} -star',
    "either": "(tag:good or star) (red or blue)",
    "not": "-circle -square",
    "notes": "note:check",
    "source": "source:00",
}  # fmt: skip


def prompt(chance: random.Random) -> str:
    """A sentence like those that people write to the small model."""
    parts = [f"a {chance.choice(COLOURS)} {chance.choice(SHAPES)}" for _ in range(chance.randint(1, 3))]
    text = f" {chance.choice(PLACES)} ".join(parts)
    return f'{text}, with the word "{chance.choice(WORDS)}"' if chance.random() < 0.3 else text


def rows(count: int) -> Iterator[PictureRow]:
    """Synthetic rows of the index, oldest first; the last one is of this minute."""
    chance = random.Random(0)
    now = datetime.now(UTC)
    for number in range(count):
        adapters = [
            {"name": chance.choice(["ink", "watercolour", "pixel-art"]), "weight": round(chance.random(), 2)}
            for _ in range(chance.choice([0, 0, 0, 1, 2]))
        ]
        model, side = str(chance.choice(MODELS)), chance.choice([256, 512, 768, 1024])
        recipe = {
            "model": model, "task": None, "prompt": prompt(chance), "negative_prompt": "", "seed": chance.randrange(5000),
            "width": side, "height": chance.choice([side, 512]), "steps": chance.choice([4, 8, 20, 28]),
            "guidance_scale": chance.choice([1.0, 2.5, 3.5, 4.0]), "shift": None, "sigmas": None,
            "max_sequence_length": 512, "precision": "bfloat16", "adapters": adapters, "references": [],
            "image": f"{number % 4096:03x}" + "0" * 61 if number % 10 == 0 else None, "strength": None, "mask": None,
            "margins": None,
        }  # fmt: skip
        same = ("model", "prompt", "seed", "width", "height", "steps", "guidance_scale")
        yield PictureRow(
            digest=hashlib.sha256(str(number).encode()).hexdigest(),
            created=now - timedelta(minutes=5 * (count - number)),
            weights=hashlib.sha256(model.encode()).hexdigest(),
            recipe=recipe,
            adapter_weights=[hashlib.sha256(str(each["name"]).encode()).hexdigest() for each in adapters],
            seconds={"load": 0.0, "text": 0.05, "denoise": chance.random() * 5, "decode": 0.1},
            environment={"torch": "2.13.0", "device": "cuda:0", "diffusers": "0.42.1"},
            warnings=[], fallbacks=[], peak_bytes=8 * 10**9, file_bytes=1_500_000,
            **{name: recipe[name] for name in same},
        )  # fmt: skip


def fill(store: Store, count: int) -> None:
    """Write `count` rows with marks and scores, and the files of the newest page."""
    chance, made = random.Random(1), list(rows(count))
    now = datetime.now(UTC)
    with store.transaction() as session:
        session.execute(insert(BoardRow), [{"id": 1, "name": "winners", "folded": "winners", "created": now}])
    for start in range(0, count, CHUNK):
        part = list(enumerate(made[start : start + CHUNK], start + 1))
        columns = [column.key for column in PictureRow.__table__.columns]
        parts: dict[Any, list[dict[str, Any]]] = {
            PictureRow: [{name: getattr(row, name) for name in columns} for _, row in part],
            GalleryRow: [_gallery(number, row, chance) for number, row in part],
            AdapterRow: [each for number, row in part for each in adapter_rows(number, row)],
            SourceRow: [each for number, row in part for each in source_rows(number, row)],
            TagRow: [
                {"tag": tag, "picture": number}
                for number, _ in part
                for tag in ("good", "later", "poster")
                if chance.random() < 0.1
            ],
            BoardPictureRow: [
                {"board": 1, "picture": number, "added": now} for number, _ in part if chance.random() < 0.02
            ],
            ScoreRow: [
                {
                    "picture": number, "scorer": "clip", "metric": metric, "version": "1", "created": now,
                    "value": chance.random(),
                }
                for number, _ in part
                for metric in ("", "clip_score", "ned")
            ],
        }  # fmt: skip
        with store.transaction() as session:
            for table, values in parts.items():
                session.execute(insert(table), values)
    noise = np.random.default_rng(0)
    for row in made[-PAGE:]:
        pixels = np.kron(noise.integers(0, 256, (32, 32, 3), np.uint8), np.ones((32, 32, 1), np.uint8))
        store.path(row.digest).parent.mkdir(parents=True, exist_ok=True)
        write_picture(store.path(row.digest), Image.fromarray(pixels), {"digest": row.digest})


def _gallery(number: int, row: PictureRow, chance: random.Random) -> dict[str, Any]:
    note = "check the hands again" if chance.random() < 0.01 else ""
    return fact_values(row) | {
        "id": number, "starred": chance.random() < 0.03, "note": note, "note_words": note, "trashed": None,
        "content": None,
    }  # fmt: skip


def timed(question: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Median and fastest of several runs, and the processor's time of the fastest, in milliseconds.

    On a machine that does other work as well, the processor's time is what an idle machine would take, as everything that
    is read lies in memory.
    """
    wall, busy = [], []
    for _ in range(repeats):
        began, spent = time.perf_counter(), time.process_time()
        question()
        wall.append((time.perf_counter() - began) * 1000)
        busy.append((time.process_time() - spent) * 1000)
    figures = {"median_ms": statistics.median(wall), "fastest_ms": min(wall), "cpu_ms": min(busy)}
    return {name: round(value, 2) for name, value in figures.items()}


def first_page(home: Path) -> int:
    """Open the store, search, and read the page's thumbnails: what a person waits for."""
    gallery = Gallery(Store(home))
    page = gallery.search("")
    return sum(len(gallery.thumbnail(entry.digest)[1]) for entry in page.entries)


def measure(home: Path, repeats: int) -> dict[str, Any]:
    """All figures."""
    gallery = Gallery(Store(home))
    gallery.search("")
    found: dict[str, Any] = {}
    for name, query in QUERIES.items():
        total = gallery.search(query).total
        found[name] = timed(partial(gallery.search, query), repeats) | {"query": query, "found": total}
    tagged = gallery.digests("tag:good")[:1000]
    pages = {
        "first page, no thumbnails yet": timed(lambda: first_page(home), 1),
        "first page": timed(lambda: first_page(home), repeats),
        "page 1000": timed(lambda: gallery.search("", offset=60 * 999), repeats),
        "sorted by score": timed(lambda: gallery.search("circle", sort="-score.clip"), repeats),
        "frame of 10 %": timed(lambda: gallery.frame("tag:good"), 1),
        "star 1000": timed(lambda: gallery.star(tagged), 3),
    }
    return {"searches": found, "pages": pages}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--home", type=Path, help="keep the synthetic store here, and use it again")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = arguments.home or Path(temporary)
        store = Store(home)
        if Gallery(store).search("", limit=0).total != arguments.rows:
            began = time.perf_counter()
            fill(store, arguments.rows)
            print(f"{arguments.rows} rows written in {time.perf_counter() - began:.1f} s")
        figures = measure(home, arguments.repeats)
    print(f"{'':30}{'median':>9}{'fastest':>9}{'cpu':>9}{'found':>9}   ms")
    for name, each in (figures["searches"] | figures["pages"]).items():
        times = "".join(f"{each[key]:9.1f}" for key in ("median_ms", "fastest_ms", "cpu_ms"))
        print(f"{name:30}{times}{each.get('found', ''):>9}")
    figures |= {"rows": arguments.rows, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
