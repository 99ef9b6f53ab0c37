"""The panel without a browser: what it sends tells nothing, what it is told ends on disk."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from evals.arena import Ballot, Contest, Entry, make_contest
from evals.panels import ArenaPanel
from tests.evals.arena_helpers import NAMES, contest_of, entries, square


class Heard:
    """A panel with everything that left it for the browser."""

    def __init__(self, contest: Contest, rater: str = "ada") -> None:
        self.panel = ArenaPanel(contest, rater)
        self.sent: list[tuple[dict[str, Any], list[bytes]]] = []
        self.panel.view.send = lambda content, buffers=None: self.sent.append((content, buffers or []))

    def tell(self, **content: Any) -> None:
        self.panel.view._handle_custom_msg(content, [])

    def picture(self, identity: str) -> Image.Image | None:
        self.tell(type="want", id=identity)
        content, buffers = self.sent[-1]
        return Image.open(io.BytesIO(buffers[0])) if content["type"] == "pixels" else None

    @property
    def state(self) -> dict[str, Any]:
        return dict(self.panel.view.state)

    def vote(self, choice: str) -> None:
        self.tell(type="vote", number=self.state["pair"]["number"], choice=choice, seconds=0.5)


def test_nothing_that_the_browser_gets_tells_who_drew_what(tmp_path: Path) -> None:
    contest = contest_of(tmp_path / "secret-alpha", prompts=5, contenders=3, title="secret-beta")
    heard = Heard(contest)
    secrets = [*NAMES, contest.fingerprint, "contest", str(tmp_path)]
    secrets += [name.removesuffix(".png") for item in contest.items for name in item.pictures if name]
    while heard.state["phase"] == "vote":
        pair = heard.state["pair"]
        for identity in (pair["left"], pair["right"]):
            picture = heard.picture(identity)
            assert picture is not None
            assert picture.info == {}
        told = json.dumps([heard.panel.view.get_state(["state", "result"]), [content for content, _ in heard.sent]])
        assert not [secret for secret in secrets if secret in told]
        assert set(heard.state) == {"phase", "answered", "total", "skipped", "question", "pair", "next"}
        assert set(pair) == {"number", "prompt", "left", "right", "references"}
        heard.vote("left")
    assert heard.state["phase"] == "done"
    assert heard.panel.view.result == {}


def test_state_is_the_same_whoever_stands_where(tmp_path: Path) -> None:
    """Two contests with the contenders' pictures exchanged look the same to the browser, but for the pixels."""
    one = contest_of(tmp_path / "one", prompts=4)
    given = entries(4)
    other = make_contest(tmp_path / "other", [*given[4:], *given[:4]])
    assert Heard(one).state == Heard(other).state


def test_pixels_are_those_of_the_pair_and_full_size(tmp_path: Path) -> None:
    large = [replace(each, open=partial(_enlarged, each)) for each in entries(4)]
    contest = make_contest(tmp_path, large)
    heard = Heard(contest)
    pair = heard.panel.ballot.pairs[0]
    left = heard.picture("0:left")
    assert left is not None
    assert left.size == (600, 300)
    assert left.getpixel((0, 0)) == contest.picture(pair.item, pair.left).getpixel((0, 0))
    assert heard.picture("1:right") is not None  # the next pair may be fetched before it is shown
    assert heard.picture("2:left") is None  # none after it
    heard.vote("left")
    heard.vote("left")
    assert heard.picture("0:left") is None  # and none before


def _enlarged(entry: Entry) -> Image.Image:
    return entry.open().resize((600, 300))


def test_references_of_an_edit_are_shown(tmp_path: Path) -> None:
    given = [replace(each, references=lambda: (square(9, 9, 9),)) for each in entries(2)]
    heard = Heard(make_contest(tmp_path, given))
    (identity,) = heard.state["pair"]["references"]
    picture = heard.picture(identity)
    assert picture is not None
    assert picture.getpixel((0, 0)) == (9, 9, 9)


def test_votes_undo_and_going_on(tmp_path: Path) -> None:
    contest = contest_of(tmp_path)
    heard = Heard(contest)
    for choice in ("left", "tie", "skip"):
        heard.vote(choice)
    assert [heard.state[name] for name in ("answered", "total", "skipped")] == [3, 6, 1]
    heard.tell(type="undo")
    assert heard.state["pair"]["number"] == 2
    heard.vote("right")
    again = Heard(contest)
    assert again.state["answered"] == 3
    assert [vote.choice for vote in again.panel.ballot.votes] == ["left", "tie", "right"]
    assert again.panel.ballot.votes[0].seconds == 0.5


def test_a_vote_for_another_pair_is_refused_and_the_view_caught_up(tmp_path: Path) -> None:
    contest = contest_of(tmp_path)
    heard = Heard(contest)
    Ballot(contest, "ada").vote(0, "left")  # another tab of the same rater
    heard.vote("right")
    assert "not the next one" in heard.panel.banner.text
    assert heard.state["pair"]["number"] == 1
    heard.vote("tie")
    assert heard.panel.banner.text == ""
    assert [vote.choice for vote in Ballot(contest, "ada").votes] == ["left", "tie"]


@pytest.mark.parametrize(
    "message", [{"type": "vote", "number": 0, "choice": "up"}, {"type": "nonsense"}, {"type": "undo"}, {"type": "export"},
                {"type": "vote"}, {"type": "reveal"}]
)  # fmt: skip
def test_strange_messages_change_nothing(tmp_path: Path, message: dict[str, Any]) -> None:
    heard = Heard(contest_of(tmp_path))
    before = heard.state
    heard.tell(**message)
    assert heard.state == before
    assert bool(heard.panel.banner.text) == (message["type"] != "undo")  # undo of nothing is no mistake


def test_the_reveal_ends_the_ballot_and_shows_names_and_ratings(tmp_path: Path) -> None:
    contest = contest_of(tmp_path, prompts=8, title="Squares")
    heard = Heard(contest)
    while heard.state["phase"] == "vote":
        pair = heard.panel.ballot.next
        assert pair is not None
        heard.vote("left" if pair.left == 0 else "right")
    assert heard.panel.view.result == {}
    heard.tell(type="reveal")
    assert heard.panel.wait(60)
    assert heard.state["phase"] == "over"
    assert heard.state["pair"] == {}
    shown = heard.panel.view.result
    assert [each["contender"] for each in shown["ratings"]] == list(NAMES[:2])
    assert shown["sentences"][0].startswith("secret-alpha is preferred to secret-beta: it wins 100 %, 95 % interval")
    heard.tell(type="undo")
    assert "revealed" in heard.panel.banner.text
    heard.tell(type="export")
    assert heard.panel.wait(60)
    assert "votes.parquet" in heard.panel.view.result["saved"]
    assert len(pd.read_parquet(tmp_path / "results" / "votes.parquet")) == 8
    again = ArenaPanel(contest, "ada")  # after a restart the results come back by themselves
    assert again.wait(60)
    assert again.view.result["ratings"] == shown["ratings"]
    for panel in (heard.panel, again):
        panel.close()


def test_a_damaged_picture_is_said_in_the_panel(tmp_path: Path) -> None:
    contest = contest_of(tmp_path)
    for path in (tmp_path / "pictures").iterdir():
        path.write_bytes(b"no picture")
    heard = Heard(contest)
    heard.tell(type="want", id="0:left")
    assert "0:left" not in json.dumps([content for content, _ in heard.sent])
    assert heard.panel.banner.text
    assert not any(name in heard.panel.banner.text for name in NAMES)
