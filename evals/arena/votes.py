"""Votes on disk: one file per rater, one line per act, only ever appended.

    {"format": 1, "contest": "<fingerprint>", "rater": "ada"}
    {"vote": 0, "choice": "left", "item": 3, "left": 1, "right": 0, "seconds": 2.4, "at": "2026-01-31T10:00:00+00:00"}
    {"undo": 0}
    {"reveal": true}

A line is written in one call and reaches the disk before the next pair is shown, so a crash loses at most the vote that
was being written; its half line is cut off when the file is opened again. Contenders are numbers, so that the file does
not tell a rater who is who. Nothing is accepted after the reveal: a rater who knows the names is no longer blind.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from evals.arena.contest import ArenaError, Contest
from evals.arena.pairs import Comparison, Pair, schedule
from workbench.store.files import cannot_write, make_folder

Choice = Literal["left", "right", "tie", "skip"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_LARGEST = 64 * 2**20  # bytes of a rater's file that are read: some 300,000 votes


@dataclass(frozen=True, slots=True)
class Vote:
    """What one rater said of one pair."""

    rater: str
    pair: Pair
    choice: Choice
    seconds: float | None = None  # from seeing both pictures to the vote
    at: str = ""  # UTC, ISO 8601

    @property
    def comparison(self) -> Comparison:
        """What was compared, whatever the sides."""
        return self.pair.comparison

    @property
    def outcome(self) -> float | None:
        """1 where the comparison's `first` won, 0 where `second` did, 0.5 for a tie, None for a skip."""
        if self.choice == "skip":
            return None
        if self.choice == "tie":
            return 0.5
        winner = self.pair.left if self.choice == "left" else self.pair.right
        return float(winner == self.comparison.first)


class Ballot:
    """One rater's votes; opening it again goes on where it stopped.

    Args:
        contest: what is compared.
        rater: a short name of letters, digits, "-" and "_".

    Raises:
        ArenaError: the name cannot be used, or the rater's file belongs to another contest or is damaged.
        StoreError: the file cannot be written.
    """

    def __init__(self, contest: Contest, rater: str) -> None:
        if not _NAME.fullmatch(rater):
            raise ArenaError(
                f"The rater's name {rater!r} cannot be used.",
                "Use up to 40 letters, digits, '-' and '_', letters first.",
            )
        self.contest, self.rater = contest, rater
        self.pairs = schedule(contest.comparisons, seed=contest.seed, rater=rater, repeats=contest.repeats)
        self.path = contest.folder / "votes" / f"{rater}.jsonl"
        self.votes: list[Vote] = []
        self.revealed = False
        self._size = -1  # of the file as it was last read or written
        make_folder(self.path.parent)
        if self.path.exists():
            _cut_half_line(self.path)
        if not self.path.exists() or not self.path.stat().st_size:
            self._append({"format": FORMAT, "contest": contest.fingerprint, "rater": rater})
        self._size = -1
        self.refresh()

    def refresh(self) -> None:
        """Take over what another ballot of the same rater wrote, such as that of a panel in another tab."""
        size = self.path.stat().st_size
        if size != self._size:
            self.votes, self.revealed = _replay(self.path, self.contest, self.rater, self.pairs)
            self._size = size

    @property
    def next(self) -> Pair | None:
        """The pair to show, or None when all are answered."""
        return self.pairs[len(self.votes)] if len(self.votes) < len(self.pairs) else None

    def vote(self, number: int, choice: Choice, seconds: float | None = None) -> Vote:
        """Answer the pair `number`, which must be the next one.

        Args:
            number: of the pair that the rater saw.
            choice: the better side, a tie, or a skip.
            seconds: how long the rater looked.

        Raises:
            ArenaError: another pair is next, the choice is unknown, or the names were revealed.
            StoreError: the vote cannot be written; it does not count then.
        """
        if choice not in CHOICES:
            raise ArenaError(f"There is no choice {choice!r}.", f"Choose one of: {', '.join(CHOICES)}.")
        self._still_blind()
        pair = self.next
        if pair is None or pair.number != number:
            raise ArenaError(f"Pair {number} is not the next one.", "Vote on the pair that is shown.")
        if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
            raise ArenaError(f"{seconds} is no number of seconds.")
        vote = Vote(self.rater, pair, choice, seconds, datetime.now(UTC).isoformat(timespec="seconds"))
        self._append(
            {"vote": number, "choice": choice, "item": pair.item, "left": pair.left, "right": pair.right}
            | {"seconds": None if seconds is None else round(seconds, 3), "at": vote.at}
        )
        self.votes.append(vote)
        return vote

    def undo(self) -> Vote | None:
        """Take the last vote back; its pair is next again. None when there is no vote.

        Raises:
            ArenaError: the names were revealed.
            StoreError: the file cannot be written.
        """
        self._still_blind()
        if not self.votes:
            return None
        self._append({"undo": self.votes[-1].pair.number})
        return self.votes.pop()

    def reveal(self) -> None:
        """Note that the rater has seen the names. No vote is accepted afterwards.

        Raises:
            StoreError: the file cannot be written; the names stay hidden then.
        """
        self.refresh()
        if not self.revealed:
            self._append({"reveal": True})
            self.revealed = True

    def _still_blind(self) -> None:
        self.refresh()
        if self.revealed:
            raise ArenaError("The names were revealed, so this ballot is closed.", "Vote under another rater's name.")

    def _append(self, line: dict[str, Any]) -> None:
        data = (json.dumps(line) + "\n").encode()
        try:
            with self.path.open("ab", buffering=0) as file:
                file.write(data)
                os.fsync(file.fileno())
            self._size = self.path.stat().st_size
        except OSError as error:
            raise cannot_write(self.path, error) from error


def raters(contest: Contest) -> list[str]:
    """Names of all who have voted or begun to."""
    return sorted(path.stem for path in (contest.folder / "votes").glob("*.jsonl"))


def read_votes(contest: Contest) -> tuple[Vote, ...]:
    """The standing votes of all raters, skips included, in the raters' and their own order. Changes no file.

    Raises:
        ArenaError: a rater's file belongs to another contest or is damaged.
    """
    found: list[Vote] = []
    for rater in raters(contest):
        pairs = schedule(contest.comparisons, seed=contest.seed, rater=rater, repeats=contest.repeats)
        found += _replay(contest.folder / "votes" / f"{rater}.jsonl", contest, rater, pairs)[0]
    return tuple(found)


def _replay(path: Path, contest: Contest, rater: str, pairs: Sequence[Pair]) -> tuple[list[Vote], bool]:
    """The votes that stand, and whether the names were revealed. A half line at the end is not a vote."""
    if path.stat().st_size > _LARGEST:
        raise ArenaError(f"{str(path)!r} is too large to be a rater's votes.")
    votes: list[Vote] = []
    revealed = False
    *lines, _ = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines):
        try:
            act = json.loads(line)
            if number == 0:
                _check_head(act, contest, rater, path)
            elif "vote" in act:
                votes.append(_vote(act, rater, pairs[len(votes)]))
            elif "undo" in act and votes and votes[-1].pair.number == act["undo"]:
                votes.pop()
            elif act == {"reveal": True}:
                revealed = True
            else:
                raise ValueError("neither vote, undo nor reveal")
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ArenaError(
                f"Line {number + 1} of {str(path)!r} is damaged: {error}.", "Repair the line, or move the file away."
            ) from None
    return votes, revealed


def _check_head(act: Any, contest: Contest, rater: str, path: Path) -> None:
    if act["format"] != FORMAT or act["rater"] != rater:
        raise ValueError("the head names another format or rater")
    if act["contest"] != contest.fingerprint:
        raise ArenaError(f"{str(path)!r} holds votes of another contest.", "Move the file away, or use another folder.")


def _vote(act: dict[str, Any], rater: str, pair: Pair) -> Vote:
    if (act["vote"], act["item"], act["left"], act["right"]) != (pair.number, pair.item, pair.left, pair.right):
        raise ValueError("the vote is not on the pair that was next")
    if act["choice"] not in CHOICES:
        raise ValueError(f"there is no choice {act['choice']!r}")
    seconds = act["seconds"]
    return Vote(rater, pair, act["choice"], None if seconds is None else float(seconds), str(act["at"]))


def _cut_half_line(path: Path) -> None:
    """Drop what a crash left of the last line, so that the next one begins on a line of its own."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
