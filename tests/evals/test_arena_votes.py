"""Votes survive crashes, undo and second tabs; a contest's files tell nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from evals.arena import ArenaError, Ballot, make_contest, open_contest, read_votes
from tests.evals.arena_helpers import NAMES, contest_of, entries, judge_all, square
from workbench.errors import StoreError


def test_a_contest_is_read_back_as_it_was(tmp_path: Path) -> None:
    made = contest_of(tmp_path / "a", 4, 3, question="Which one follows the prompt?", limit=7, repeats=2)
    read = open_contest(tmp_path / "a")
    assert read == made
    assert read.fingerprint == made.fingerprint
    assert read.comparisons == made.comparisons
    assert len(read.comparisons) == 7
    assert contest_of(tmp_path / "a", 4, 3, question=made.question, limit=7, repeats=2) == made
    with pytest.raises(ArenaError, match="another contest"):
        contest_of(tmp_path / "a", 4, 3, seed=1)


def test_files_of_pictures_tell_nothing(tmp_path: Path) -> None:
    source = tmp_path / "secret-alpha.png"
    square(1, 2, 3).save(source, pnginfo=_chunk("recipe of secret-alpha"))
    given = entries(3)
    given[0] = type(given[0])(NAMES[0], "p0", "prompt 0", 0, lambda: Image.open(source))
    contest = make_contest(tmp_path / "contest", given)
    files = list((tmp_path / "contest" / "pictures").iterdir())
    assert len(files) == 6
    for path in files:
        assert not any(name in path.name or name.encode() in path.read_bytes() for name in NAMES)
        with Image.open(path) as picture:
            assert picture.info == {}
    assert contest.picture(0, 0).getpixel((0, 0)) == (1, 2, 3)
    ballot = Ballot(contest, "ada")
    ballot.vote(0, "left")
    assert not any(name in ballot.path.read_text() for name in NAMES)


def _chunk(text: str) -> object:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("workbench", text)
    return info


def test_missing_and_identical_pictures_are_counted(tmp_path: Path) -> None:
    given = entries(4)[:-1]  # the last prompt has one picture
    given[4] = type(given[4])(NAMES[1], "p0", "prompt 0", 0, given[0].open)
    contest = make_contest(tmp_path, given)
    assert contest.missing == [(NAMES[1], "p3", 0)]
    assert contest.identical == 1
    assert {each.item for each in contest.comparisons} == {1, 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda given: given[:3], "two contenders"),
        (lambda given: [*given, given[0]], "two pictures"),
        (lambda given: [given[0], given[4]], "nothing to compare"),
        (
            lambda given: [given[0], type(given[0])(NAMES[1], "p0", "another prompt", 0, given[3].open)],
            "different prompts",
        ),
    ],
)
def test_contests_that_make_no_sense_are_refused(tmp_path: Path, change: object, message: str) -> None:
    with pytest.raises(ArenaError, match=message):
        make_contest(tmp_path, change(entries(3)))  # type: ignore[operator]


def test_a_ballot_goes_on_where_it_stopped(tmp_path: Path) -> None:
    contest = contest_of(tmp_path)
    ballot = Ballot(contest, "ada")
    ballot.vote(0, "left", 1.25)
    ballot.vote(1, "tie")
    ballot.vote(2, "skip")
    again = Ballot(open_contest(tmp_path), "ada")
    assert again.votes == ballot.votes
    assert again.next == ballot.pairs[3]
    assert [vote.outcome for vote in again.votes][1:] == [0.5, None]
    assert read_votes(contest) == tuple(ballot.votes)


def test_undo_takes_back_the_last_vote_and_stays_undone(tmp_path: Path) -> None:
    ballot = Ballot(contest_of(tmp_path), "ada")
    assert ballot.undo() is None
    ballot.vote(0, "left")
    ballot.vote(1, "left")
    assert ballot.undo() is not None
    ballot.vote(1, "right")
    assert [vote.choice for vote in Ballot(ballot.contest, "ada").votes] == ["left", "right"]
    lines = ballot.path.read_text().splitlines()
    assert [next(iter(json.loads(line))) for line in lines] == ["format", "vote", "vote", "undo", "vote"]


def test_a_half_written_line_is_no_vote(tmp_path: Path) -> None:
    ballot = Ballot(contest_of(tmp_path), "ada")
    ballot.vote(0, "left")
    whole = ballot.path.read_bytes()
    ballot.vote(1, "right")
    for cut in range(len(whole), ballot.path.stat().st_size):  # a crash at any byte
        ballot.path.write_bytes((whole + b'{"vote": 1, "choice": "right", "item"')[:cut] if cut > len(whole) else whole)
        assert len(read_votes(ballot.contest)) == 1
        again = Ballot(ballot.contest, "ada")
        assert again.path.read_bytes() == whole
        assert again.vote(1, "tie").pair == ballot.pairs[1]


@pytest.mark.parametrize("line", ["nonsense", '{"vote": 7}', '{"undo": 3}', "[1]", '{"vote": 1, "choice": "up"}'])
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    ballot = Ballot(contest_of(tmp_path), "ada")
    with ballot.path.open("a") as file:
        file.write(line + "\n")
    before = ballot.path.read_bytes()
    with pytest.raises(ArenaError, match=r"Line 2 of .*ada.jsonl' is damaged"):
        Ballot(ballot.contest, "ada")
    assert ballot.path.read_bytes() == before


def test_votes_of_another_contest_are_refused(tmp_path: Path) -> None:
    first, second = contest_of(tmp_path / "a"), contest_of(tmp_path / "b", seed=5)
    ballot = Ballot(first, "ada")
    target = second.folder / "votes" / "ada.jsonl"
    target.parent.mkdir()
    target.write_bytes(ballot.path.read_bytes())
    with pytest.raises(ArenaError, match="another contest"):
        Ballot(second, "ada")


def test_a_vote_is_for_the_pair_that_was_shown(tmp_path: Path) -> None:
    ballot = Ballot(contest_of(tmp_path), "ada")
    ballot.vote(0, "left")
    with pytest.raises(ArenaError, match="not the next"):
        ballot.vote(0, "left")  # a key that was pressed twice
    with pytest.raises(ArenaError, match="no choice"):
        ballot.vote(1, "up")  # type: ignore[arg-type]
    with pytest.raises(ArenaError, match="seconds"):
        ballot.vote(1, "left", float("nan"))
    assert len(ballot.votes) == 1


def test_two_tabs_of_one_rater_share_the_ballot(tmp_path: Path) -> None:
    contest = contest_of(tmp_path)
    first, second = Ballot(contest, "ada"), Ballot(contest, "ada")
    first.vote(0, "left")
    with pytest.raises(ArenaError, match="not the next"):
        second.vote(0, "right")
    second.vote(1, "right")
    first.undo()
    assert [vote.choice for vote in Ballot(contest, "ada").votes] == ["left"]


def test_who_has_seen_the_names_cannot_vote(tmp_path: Path) -> None:
    ballot = Ballot(contest_of(tmp_path), "ada")
    ballot.vote(0, "left")
    ballot.reveal()
    for act in (lambda: ballot.vote(1, "left"), ballot.undo, lambda: Ballot(ballot.contest, "ada").vote(1, "tie")):
        with pytest.raises(ArenaError, match="revealed"):
            act()
    Ballot(ballot.contest, "bo").vote(0, "left")


@pytest.mark.parametrize("name", ["", "../x", "a b", "-x", "x" * 41, "ä"])
def test_a_raters_name_is_a_safe_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArenaError, match="name"):
        Ballot(contest_of(tmp_path), name)


def test_a_vote_that_cannot_be_written_does_not_count(tmp_path: Path) -> None:
    ballot = Ballot(contest_of(tmp_path), "ada")
    kept = ballot.path.read_bytes()
    ballot.path.unlink()
    ballot.path.mkdir()
    with pytest.raises(StoreError, match=r"ada\.jsonl"):
        ballot._append({"vote": 0})
    ballot.path.rmdir()
    ballot.path.write_bytes(kept)
    assert not Ballot(ballot.contest, "ada").votes


def test_a_contest_that_is_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArenaError, match="no contest"):
        open_contest(tmp_path)
    contest = contest_of(tmp_path)
    text = (tmp_path / "contest.json").read_text()
    (tmp_path / "contest.json").write_text(text.replace(contest.items[0].pictures[0] or "", "../up.png"))
    with pytest.raises(ArenaError, match="plain file name"):
        open_contest(tmp_path)


def test_a_whole_ballot(tmp_path: Path) -> None:
    contest = contest_of(tmp_path, 5, 3, repeats=3)
    ballot = judge_all(contest, "ada", dict.fromkeys(NAMES, 1000.0))
    assert ballot.next is None
    assert len(ballot.votes) == 5 * 3 + 3
