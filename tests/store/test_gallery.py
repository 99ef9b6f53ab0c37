"""Searching, marks, boards, scores and tables over real small pictures."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from workbench.errors import StoreError
from workbench.recipe import Adapter
from workbench.recipe.conditions import Reference
from workbench.store import Store
from workbench.store.errors import GalleryError, QueryError
from workbench.store.gallery import Gallery
from workbench.store.query import parse
from workbench.store.scores import keep_scores
from workbench.store.where import Where

PROMPTS = ["a red circle", "a blue square", 'A RED heart with the word "MOON"', "ein grüner Stern, 50% größer_", ""]
Ask = Callable[[str], list[int]]
QUERIES = [
    ("", [0, 1, 2, 3, 4]),
    ("red", [0, 2]),
    ("RED", [0, 2]),
    ("re", [0, 1, 2]),
    ("quar", [1]),
    ('"red circle"', [0]),
    ('"circle red"', []),
    ("red circle", [0]),
    ("circle or square", [0, 1]),
    ("-red", [1, 3, 4]),
    ("-red -square", [3, 4]),
    ("a -(red circle)", [1, 2]),
    ("-(red or blue or -er)", [3]),
    ('"\\"moon\\""', [2]),
    ("GRÜNER", [3]),
    ("50%", [3]),
    ("größer_", [3]),
    ("%", [3]),
    ("_", [3]),
    ("prompt:stern", [3]),
    ("negative:red", []),
    ("model:KLEIN", [0, 1, 2]),
    ("model=klein", [0, 1, 2]),
    ("model=kle", []),
    ("model!=klein", [3, 4]),
    ("model:other_", [3, 4]),
    ("model:o_her", []),
    ("steps:6", [2]),
    ("steps=6", [2]),
    ("steps!=6", [0, 1, 3, 4]),
    ("steps>=6", [2, 3, 4]),
    ("steps<6 seed>0", [1]),
    ("steps:5..7", [1, 2, 3]),
    ("steps:7..5", []),
    ("steps<99999999999999999999999", [0, 1, 2, 3, 4]),
    ("steps>99999999999999999999999", []),
    ("seed!=-99999999999999999999999", [0, 1, 2, 3, 4]),
    ("guidance:2.5..4", [2, 3]),
    ("guidance_scale>4", [4]),
    ("width:80", [1, 3]),
    ("size:64x64", [0, 2, 4]),
    ("size!=64x64", [1, 3]),
    ("adapter:ink", [1, 2]),
    ("adapter=ink", []),
    ("adapter=ink-wash", [1, 2]),
    ("adapter!=ink-wash", [0, 3, 4]),
    ("adapter:cdcdcdcd", [1, 2]),
    ("adapter.Ink-Wash>0.3", [2]),
    ("is:adapter", [1, 2]),
    ("source:eeee", [3]),
    ("source:ffff", [4]),
    ("is:edit", [3, 4]),
    ("-is:edit", [0, 1, 2]),
    ("task:edit", [3]),
    ("task!=edit", [0, 1, 2, 4]),
    ("strength>0", []),
    ("-strength>0", [0, 1, 2, 3, 4]),
    ("image:ee", [3]),
    ("max_sequence_length>=67", [3, 4]),
    ("max_sequence_length:64..65", [0, 1]),
    ("environment.device:CPU", [0, 1, 2, 3, 4]),
    ("environment.device:cuda", []),
    ("environment.nothing:cuda", []),
    ("environment.nothing!=cuda", [0, 1, 2, 3, 4]),
    ("seconds>10.9", [0, 1, 2, 3, 4]),
    ("seconds>11", []),
    ("bytes>100", [0, 1, 2, 3, 4]),
    ("weights:abab", [0, 1, 2, 3, 4]),
    ("weights:abac", []),
    ("created:today or created:yesterday", [0, 1, 2, 3, 4]),
    ("created>1h", [0, 1, 2, 3, 4]),
    ("created<1h", []),
    ("created>2999", []),
    ("created:2000..2999", [0, 1, 2, 3, 4]),
    ("created!=2000", [0, 1, 2, 3, 4]),
    ("star or tag:x or board:x or note:abc or is:score or is:tag", []),
    ("score.clip>0", []),
    ("-score.clip>0", [0, 1, 2, 3, 4]),
]


def fill(store: Store, make_result: Any) -> Store:
    """Five pictures, seeds 0 to 4, the last one newest."""
    for seed, prompt in enumerate(PROMPTS):
        adapters = (Adapter(name="Ink-Wash", weight=0.25 * seed),) if seed in (1, 2) else ()
        result = make_result(seed, prompt, size=64 + 16 * (seed % 2), adapters=adapters)
        recipe = result.resolved.recipe.replace(
            model="klein" if seed < 3 else "Other_Model", steps=4 + seed, guidance_scale=1.0 + seed,
            image="ee" * 32 if seed == 3 else None, task="edit" if seed == 3 else None,
            references=(Reference(picture="ff" * 32),) if seed == 4 else (), max_sequence_length=64 + seed,
        )  # fmt: skip
        resolved = result.resolved.model_copy(update={"recipe": recipe})
        store.add(replace(result, recipe=recipe, resolved=resolved))
    return store


@pytest.fixture
def gallery(tmp_path: Path, make_result: Any) -> Gallery:
    """A gallery of one's own."""
    return Gallery(fill(Store(tmp_path), make_result))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, make_result: Any) -> Gallery:
    """A gallery to be asked, not changed."""
    return Gallery(fill(Store(tmp_path_factory.mktemp("shared")), make_result))


def seeds_of(gallery: Gallery, query: str) -> list[int]:
    """The seeds that a query finds, sorted; the page, the list of digests and the words without index agree."""
    page = gallery.search(query)
    seeds = [entry.recipe.seed for entry in page.entries]
    assert seeds == sorted(seeds, reverse=True)  # newest first
    assert page.total == len(seeds)
    assert gallery.digests(query) == [entry.digest for entry in page.entries]
    plain = Gallery(gallery.store)
    plain._where = Where(indexed=False)
    assert plain.digests(query) == gallery.digests(query)
    return sorted(seeds)


@pytest.fixture
def ask(gallery: Gallery) -> Ask:
    """Asks the gallery of one's own."""
    return lambda query: seeds_of(gallery, query)


def digest(gallery: Gallery, seed: int) -> str:
    return gallery.digests(f"seed:{seed}")[0]


@pytest.mark.parametrize(("query", "seeds"), QUERIES)
def test_a_query_finds_what_it_says(shared: Gallery, query: str, seeds: list[int]) -> None:
    assert seeds_of(shared, query) == seeds


def test_digests_and_their_beginnings(gallery: Gallery, ask: Ask) -> None:
    whole = digest(gallery, 2)
    assert ask(f"digest:{whole}") == ask(f"digest:{whole[:10].upper()}") == [2]
    assert gallery.find(whole[:12]) == whole
    assert gallery.show(whole[:12]).recipe.seed == 2
    for bad in ("xyz", "", "abc", "0" * 64, "%%%%"):
        with pytest.raises(GalleryError):
            gallery.find(bad)


def test_marks(gallery: Gallery, ask: Ask) -> None:
    first, second = digest(gallery, 0), digest(gallery, 1)
    assert gallery.star([first, second]) == 2
    assert ask("star") == [0, 1]
    assert ask("-star") == [2, 3, 4]
    gallery.star([second], on=False)
    assert ask("is:star") == [0]
    gallery.tag([first, second], "Good", "for the  poster")
    gallery.tag([first], "good")  # twice is once
    assert ask("tag:GOOD") == [0, 1]
    assert ask('tag:"for the poster"') == ask("tag:*post*") == [0, 1]
    assert ask("tag!=good") == [2, 3, 4]
    assert gallery.tags() == {"for the poster": 2, "good": 2}
    assert gallery.untag([second, first], "good", "never there") == 2
    assert gallery.tags() == {"for the poster": 2}
    gallery.note([second], "  Check the HÄNDE\nagain ")
    assert ask("note:hände") == ask("hände") == ask("is:note") == [1]
    assert gallery.show(second).note == "Check the HÄNDE\nagain"
    gallery.note([second], "")
    assert ask("is:note") == ask("hände") == []
    assert gallery.show(first).tags == ("for the poster",)
    assert gallery.show(first).starred


def test_boards(gallery: Gallery, ask: Ask) -> None:
    from workbench.store.marks import make_board, remove_board, rename_board

    first, second = digest(gallery, 0), digest(gallery, 1)
    make_board(gallery.store, "Empty")
    assert gallery.board([first, second], "Best of all") == 2
    assert gallery.board([first], "best OF all") == 0
    assert gallery.boards() == {"Best of all": 2, "Empty": 0}
    assert ask('board:"best of all"') == ask("board:best*") == ask("is:board") == [0, 1]
    assert gallery.show(first).boards == ("Best of all",)
    assert gallery.unboard([first], "Best of all") == 1
    assert gallery.unboard([first], "Best of all") == 0
    rename_board(gallery.store, "Best of all", "BEST of all")
    assert gallery.boards() == {"BEST of all": 1, "Empty": 0}
    for act in (
        lambda: make_board(gallery.store, "empty"),
        lambda: rename_board(gallery.store, "Empty", "best of ALL"),
        lambda: remove_board(gallery.store, "nothing"),
        lambda: gallery.unboard([first], "nothing"),
    ):
        with pytest.raises(GalleryError):
            act()
    remove_board(gallery.store, "best of all")
    assert gallery.boards() == {"Empty": 0}
    assert ask("seed:1") == [1]


@pytest.mark.parametrize("name", ["", "  ", "a*b", "a\x07b", "x" * 101, "\ud800"])
def test_names_that_cannot_be_are_refused(gallery: Gallery, name: str) -> None:
    for act in (gallery.tag, gallery.board):
        with pytest.raises(GalleryError):
            act([digest(gallery, 0)], name)
    assert gallery.tags() == gallery.boards() == {}


def test_a_mistake_among_many_changes_nothing(gallery: Gallery) -> None:
    known = digest(gallery, 0)
    for act in (gallery.star, gallery.delete, lambda digests: gallery.tag(digests, "x")):
        with pytest.raises(GalleryError, match="There is no picture 'ffff"):
            act([known, "f" * 64])
    assert gallery.search("star or tag:x or is:trash").total == 0


def test_marks_survive_when_the_picture_is_made_again(gallery: Gallery) -> None:
    entry = gallery.show(digest(gallery, 0))
    gallery.star([entry.digest])
    gallery.tag([entry.digest], "good")
    gallery.note([entry.digest], "mine")
    row = sqlite3.connect(gallery.store.home / "workbench.sqlite").execute("SELECT id FROM gallery WHERE seed = 0")
    number = row.fetchone()
    with gallery.store.transaction() as session:
        session.execute(text("DELETE FROM pictures WHERE digest = :digest"), {"digest": entry.digest})
    assert gallery.store.get(entry.digest) is not None
    after = gallery.show(entry.digest)
    assert (after.starred, after.tags, after.note) == (True, ("good",), "mine")
    row = sqlite3.connect(gallery.store.home / "workbench.sqlite").execute("SELECT id FROM gallery WHERE seed = 0")
    assert row.fetchone() == number


def test_scores(gallery: Gallery, ask: Ask) -> None:
    digests = [digest(gallery, seed) for seed in range(5)]
    values = {each: {"similarity": 0.1 * seed, "other": None} for seed, each in enumerate(digests[:4])}
    assert keep_scores(gallery.store, "clip", "1", values | {"0" * 64: {"similarity": 1.0}}) == 4
    assert keep_scores(gallery.store, "scene", "a", {digests[0]: {"similarity": 0.9, "bad": float("nan")}}) == 1
    assert ask("score.clip>=0.2") == [2, 3]
    assert ask("score.clip.similarity>=0.2") == [2, 3]
    assert ask("score.similarity>=0.2") == [0, 2, 3]
    assert ask("score.similarity>=0.2 red") == [0, 2]
    assert ask("score.clip:0..0.1 -red") == [1]
    assert ask("-score.clip>=0.2") == [0, 1, 4]
    assert ask("is:score") == [0, 1, 2, 3]
    assert ask("score.bad>0 or score.nothing.similarity>0") == []
    assert gallery.show(digests[0]).scores == {"clip.similarity": 0.0, "scene.similarity": 0.9}
    keep_scores(gallery.store, "clip", "2", {digests[0]: {"similarity": 0.8}})
    assert ask("score.clip>=0.2") == [0, 2, 3]
    order = [entry.recipe.seed for entry in gallery.search(sort="-score.clip").entries]
    assert order == [0, 3, 2, 1, 4]  # what has no score comes last
    assert [entry.recipe.seed for entry in gallery.search(sort="score.clip").entries] == [1, 2, 3, 0, 4]


def test_sorting_and_pages(gallery: Gallery) -> None:
    seeds = [entry.recipe.seed for entry in gallery.search(sort="created").entries]
    assert seeds == [0, 1, 2, 3, 4]
    assert [entry.recipe.seed for entry in gallery.search(sort="-steps", limit=2).entries] == [4, 3]
    pages = [gallery.search(limit=2, offset=offset) for offset in (0, 2, 4, 6)]
    assert [[entry.recipe.seed for entry in page.entries] for page in pages] == [[4, 3], [2, 1], [0], []]
    assert {page.total for page in pages} == {5}
    assert gallery.search(limit=0).total == 5
    with pytest.raises(GalleryError, match="Did you mean 'steps'"):
        gallery.search(sort="step")


def test_the_frame(gallery: Gallery) -> None:
    keep_scores(gallery.store, "clip", "1", {digest(gallery, 1): {"similarity": 0.5}})
    gallery.tag([digest(gallery, 1)], "good")
    frame = gallery.frame()
    assert list(frame["seed"]) == [4, 3, 2, 1, 0]
    assert frame.loc[digest(gallery, 1), "score.clip.similarity"] == 0.5
    assert frame["score.clip.similarity"].isna().sum() == 4
    assert frame.loc[digest(gallery, 1), "tags"] == ["good"]
    assert all(Path(path).is_file() for path in frame["path"])
    assert len(gallery.frame("nowhere")) == 0
    assert list(gallery.frame("nowhere").columns) == [each for each in frame.columns if not each.startswith("score.")]


def test_thumbnails_are_made_once(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    entry = gallery.show(digest(gallery, 1))
    kind, data = gallery.thumbnail(entry.digest)
    assert Image.open(io.BytesIO(data)).size == (80, 80)  # small ones keep their size
    path = gallery.thumbnails.path(entry.digest)
    before = path.stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr("workbench.store.thumbnails.read_picture", lambda _: pytest.fail("decoded again"))
        assert Gallery(gallery.store).thumbnail(entry.digest) == (kind, data)
    assert path.stat().st_mtime_ns == before
    for damage in (b"", data[:-10], b"nonsense"):
        path.write_bytes(damage)
        assert gallery.thumbnail(entry.digest) == (kind, data)
    entry.path.unlink()
    assert gallery.thumbnail(entry.digest) == (kind, data)
    path.unlink()
    with pytest.raises(StoreError, match="There is no file"):
        gallery.thumbnail(entry.digest)


def test_large_pictures_become_small(tmp_path: Path, make_result: Any) -> None:
    import io

    store = Store(tmp_path)
    result = make_result(1)
    result = replace(result, picture=Image.new("RGB", (1024, 512), (200, 30, 30)))
    stored = store.add(result)
    kind, data = Gallery(store).thumbnail(stored.digest)
    small = Image.open(io.BytesIO(data))
    assert small.size == (256, 128)
    assert kind == "webp"
    assert abs(int(np.asarray(small.convert("RGB"))[10, 10, 0]) - 200) < 8
    assert len(data) < 2000


def test_queries_are_read_before_anything_is_asked(gallery: Gallery) -> None:
    for act in (gallery.search, gallery.digests, gallery.frame):
        with pytest.raises(QueryError):
            act("modle:x")


def test_quotes_and_statements_in_a_query_are_only_text(gallery: Gallery, ask: Ask) -> None:
    for query in ('tag:"x\'; DROP TABLE gallery; --"', '"\' OR 1=1 --"', 'prompt:"\\"} : x OR {"', "tag:*'*"):
        assert ask(query) == []
    assert ask("") == [0, 1, 2, 3, 4]


def test_conditions_are_those_of_postgresql_too() -> None:
    """Compiled only; the queue's tests start a server where there is one."""
    for query in (
        "red -blue",
        "model:x steps:1..5",
        "score.a>1 tag:x*",
        "max_sequence_length>3",
        "environment.a:b",
        "created>7d",
    ):
        statement = str(Where(indexed=False).condition(parse(query)).compile(dialect=postgresql.dialect()))
        assert "MATCH" not in statement
    assert "ILIKE" in str(Where(indexed=False).condition(parse("model:x")).compile(dialect=postgresql.dialect()))
