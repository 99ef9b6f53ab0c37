"""Arena: people compare pictures blindly, two at a time, and contenders get ratings with intervals.

    contest = make_contest(folder, entries)   # copies the pictures under names that say nothing
    ballot = Ballot(contest, "ada")           # one rater's votes, on disk, resumable
    results(contest).table()                  # Bradley-Terry ratings, intervals, agreement of raters

The panel (`evals.panels.ArenaPanel`) is a view of one ballot.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evals.arena.contest import ArenaError, Contest, Entry, make_contest, open_contest
    from evals.arena.files import export
    from evals.arena.result import ArenaResult, results
    from evals.arena.sources import from_folders, from_grid, from_run
    from evals.arena.votes import Ballot, Vote, read_votes

__all__ = [
    "ArenaError",
    "ArenaResult",
    "Ballot",
    "Contest",
    "Entry",
    "Vote",
    "export",
    "from_folders",
    "from_grid",
    "from_run",
    "make_contest",
    "open_contest",
    "read_votes",
    "results",
]

_HOMES = {
    "ArenaError": "contest",
    "ArenaResult": "result",
    "Ballot": "votes",
    "Contest": "contest",
    "Entry": "contest",
    "Vote": "votes",
    "export": "files",
    "from_folders": "sources",
    "from_grid": "sources",
    "from_run": "sources",
    "make_contest": "contest",
    "open_contest": "contest",
    "read_votes": "votes",
    "results": "result",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"evals.arena.{_HOMES[name]}"), name)
