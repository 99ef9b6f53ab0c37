"""A contest: the same prompts and seeds drawn by several contenders, kept in one folder that raters can share.

    folder/contest.json     contenders, items, question, seeds; what is missing or identical
    folder/pictures/*.png   one file per distinct picture, under a name that says nothing, without metadata
    folder/votes/*.jsonl    one file per rater (see votes.py)

The pictures are copied, so that the folder can be given to a rater who has neither the models nor the store.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evals.arena.pairs import Comparison, comparisons
from workbench.errors import WorkbenchError
from workbench.store.files import make_folder, write_atomically
from workbench.store.png import read_picture

QUESTION = "Which picture is better?"
FILE = "contest.json"
_LARGEST = 64 * 2**20  # bytes of a contest.json that is read: about 200,000 items


class ArenaError(WorkbenchError):
    """A contest cannot be made or read, or a vote does not belong to it."""

    code = "WB420"


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of one contender.

    Attributes:
        contender: name, shown when the contest is over.
        prompt_id: items of the same prompt share it; intervals are by prompt.
        prompt: shown above the pictures.
        seed: pictures are compared where prompt and seed are equal.
        open: gives the picture, RGB.
        references: gives the pictures that an edit started from; shown beside the two. Those of the item's first entry
            count.
    """

    contender: str
    prompt_id: str
    prompt: str
    seed: int
    open: Callable[[], Image.Image]
    references: Callable[[], tuple[Image.Image, ...]] | None = None


class Item(BaseModel):
    """One prompt with one seed, and the picture that each contender drew for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt_id: str
    prompt: str
    seed: int
    pictures: tuple[str | None, ...]  # file names, in the order of the contenders; None where there is none
    references: tuple[str, ...] = ()  # file names of what an edit started from


class Contest(BaseModel):
    """What is compared. Frozen once made: another seed, limit or picture is another contest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = ""
    question: str = Field(default=QUESTION, min_length=1, max_length=200)
    contenders: tuple[str, ...] = Field(min_length=2, max_length=50)
    items: tuple[Item, ...] = Field(min_length=1)
    seed: int = Field(default=0, ge=0)
    limit: int | None = Field(default=None, ge=1)  # comparisons per rater; None: all
    repeats: int = Field(default=0, ge=0)  # comparisons shown again, sides swapped, to see how steady a rater is
    folder: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _fits(self) -> Contest:
        if len(set(self.contenders)) < len(self.contenders):
            raise ValueError("two contenders have the same name")
        if any(len(item.pictures) != len(self.contenders) for item in self.items):
            raise ValueError("an item has not one place per contender")
        names = [name for item in self.items for name in (*item.pictures, *item.references) if name is not None]
        if any(Path(name).name != name or not name.endswith(".png") for name in names):
            raise ValueError("a picture's name is not a plain file name")
        return self

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """What every rater is asked, in no particular order; see `pairs.comparisons`."""
        pictures = [item.pictures for item in self.items]
        return comparisons(pictures, len(self.contenders), seed=self.seed, limit=self.limit)

    @property
    def missing(self) -> list[tuple[str, str, int]]:
        """Contender, prompt id and seed of every picture that is not there."""
        return [
            (self.contenders[place], item.prompt_id, item.seed)
            for item in self.items
            for place, name in enumerate(item.pictures)
            if name is None
        ]

    @property
    def identical(self) -> int:
        """Pairs of contenders and items whose two pictures are equal, pixel by pixel: nobody is asked about them."""
        total = 0
        for item in self.items:
            names = [name for name in item.pictures if name is not None]
            total += sum(names.count(name) * (names.count(name) - 1) // 2 for name in set(names))
        return total

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that decides what is asked, 64 hexadecimal digits."""
        return hashlib.sha256(self._text().encode()).hexdigest()

    def picture(self, item: int, contender: int) -> Image.Image:
        """The picture of one contender, RGB.

        Raises:
            ArenaError: there is none.
            StoreError: its file cannot be read.
        """
        name = self.items[item].pictures[contender]
        if name is None:
            raise ArenaError(f"Item {item} has no picture of {self.contenders[contender]!r}.")
        return self._open(name)

    def references(self, item: int) -> tuple[Image.Image, ...]:
        """What the item's pictures were made from, RGB; empty where nothing was given.

        Raises:
            StoreError: a file cannot be read.
        """
        return tuple(map(self._open, self.items[item].references))

    def _open(self, name: str) -> Image.Image:
        return read_picture(self.folder / "pictures" / name)[0]

    def _text(self) -> str:
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)

    def write(self) -> None:
        """Write `contest.json`, whole or not at all."""
        write_atomically(self.folder / FILE, (self._text() + "\n").encode())


def make_contest(
    folder: str | Path,
    entries: Iterable[Entry],
    *,
    title: str = "",
    question: str = QUESTION,
    seed: int = 0,
    limit: int | None = None,
    repeats: int = 0,
) -> Contest:
    """Copy the pictures and write the contest; the same contest again changes nothing and keeps its votes.

    A picture that is missing for one contender is left out of its comparisons, and counted in every result.

    Args:
        folder: made when absent.
        entries: the pictures, of at least two contenders.
        title: stands over the results.
        question: what the raters are asked.
        seed: of the choice of comparisons, their order and their sides.
        limit: comparisons per rater; None asks all of them.
        repeats: comparisons shown a second time with sides swapped.

    Raises:
        ArenaError: fewer than two contenders, an entry twice, no picture to compare, or the folder holds another contest.
        StoreError: the folder cannot be written.
    """
    folder = Path(folder)
    items, contenders = _items(folder, entries)
    try:
        contest = Contest(
            title=title, question=question, contenders=contenders, items=items,
            seed=seed, limit=limit, repeats=repeats, folder=folder,
        )  # fmt: skip
    except ValidationError as error:
        raise _explained("The contest cannot be made", error) from None
    if not contest.comparisons:
        raise ArenaError(
            "There is nothing to compare.", "Two contenders need different pictures of one prompt and seed."
        )
    if (folder / FILE).exists():
        if open_contest(folder).fingerprint != contest.fingerprint:
            raise ArenaError(f"The folder {str(folder)!r} holds another contest.", "Name another folder.")
        return contest
    contest.write()
    return contest


def open_contest(folder: str | Path) -> Contest:
    """Read a contest that `make_contest` wrote, here or on another machine.

    Raises:
        ArenaError: there is none, or the file is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise ArenaError(f"There is no contest in {str(folder)!r}.", "Make one with make_contest.")
    if path.stat().st_size > _LARGEST:
        raise ArenaError(f"{str(path)!r} is too large to be a contest.")
    try:
        contest = Contest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise _explained(f"{str(path)!r} cannot be read", error) from None
    return contest.model_copy(update={"folder": Path(folder)})


def _items(folder: Path, entries: Iterable[Entry]) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """Write the pictures; items in the order of first appearance."""
    make_folder(folder / "pictures")
    kept: dict[tuple[str, int], dict[str, str]] = {}
    references: dict[tuple[str, int], tuple[str, ...]] = {}
    prompts: dict[str, str] = {}
    contenders: dict[str, None] = {}
    for entry in entries:
        key = (entry.prompt_id, entry.seed)
        if prompts.setdefault(entry.prompt_id, entry.prompt) != entry.prompt:
            raise ArenaError(
                f"The contenders drew different prompts under the id {entry.prompt_id!r}.",
                "Compare pictures of equal prompts only.",
            )
        if key not in references:
            given = entry.references() if entry.references else ()
            references[key] = tuple(_keep(folder, each) for each in given)
        if entry.contender in kept.setdefault(key, {}):
            raise ArenaError(f"{entry.contender!r} has two pictures of {entry.prompt_id!r} with seed {entry.seed}.")
        kept[key][entry.contender] = _keep(folder, entry.open())
        contenders[entry.contender] = None
    if len(contenders) < 2:
        raise ArenaError(f"A contest needs two contenders; there are {len(contenders)}.", "Add another one.")
    names = tuple(contenders)
    items = tuple(
        Item(
            prompt_id=key[0], prompt=prompts[key[0]], seed=key[1],
            pictures=tuple(map(found.get, names)), references=references[key],
        )
        for key, found in kept.items()
    )  # fmt: skip
    return items, names


def _keep(folder: Path, picture: Image.Image) -> str:
    """Write a picture without metadata; equal pixels share a file. Returns its name."""
    plain = Image.frombytes("RGB", picture.size, picture.convert("RGB").tobytes())
    # A key of its own: the name shares nothing with the digests in the store's file names.
    digest = hashlib.blake2b(plain.tobytes(), key=b"arena", person=repr(plain.size).encode()[:16], digest_size=12)
    name = f"{digest.hexdigest()}.png"
    path = folder / "pictures" / name
    if not path.exists():
        file = io.BytesIO()
        plain.save(file, "PNG", compress_level=1)
        write_atomically(path, file.getvalue())
    return name


def _explained(what: str, error: ValidationError) -> ArenaError:
    first: Any = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return ArenaError(f"{what}: {where + ': ' if where else ''}{first['msg']}.")
