"""The arena in a notebook: two pictures, one question, and nothing that tells who drew them.

The browser gets the prompt, counters and pixels under ids such as `12:left`; names and ratings follow only when the rater
has ended the ballot for good. All else (order, sides, votes, ratings) is `evals.arena`, which needs no panel.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import traitlets
from PIL import Image

from evals.arena.contest import ArenaError, Contest, open_contest
from evals.arena.pairs import Pair
from evals.arena.votes import Ballot
from workbench.panels.banner import Banner
from workbench.panels.base import CSS
from workbench.panels.coalesce import Coalescer
from workbench.panels.pixels import HERE as SHARED
from workbench.panels.pixels import PixelWidget
from workbench.panels.worker import Job, Worker

if TYPE_CHECKING:
    from evals.arena.result import ArenaResult

HERE = Path(__file__).parent
AHEAD = 1  # pairs whose pixels the browser may fetch before they are shown, so that nobody waits for them


class ArenaView(PixelWidget):
    """What the browser knows: `state` while votes are given, `result` once the names are revealed.

    Messages from it: {type: "vote", number, choice, seconds}, {type: "undo"}, {type: "reveal"}, {type: "export"}.

    Args:
        picture: gives the picture of an id.
        act: is told the messages that are not about pixels.
        banner: shows what goes wrong while a message is handled.
    """

    _esm = (SHARED / "pixels.js").read_text(encoding="utf-8") + (HERE / "arena.js").read_text(encoding="utf-8")
    _css = HERE / "arena.css"
    side = 4096  # pictures are judged at full size

    state = traitlets.Dict().tag(sync=True)
    result = traitlets.Dict().tag(sync=True)  # empty until the reveal

    def __init__(
        self, picture: Callable[[str], Image.Image | None], act: Callable[[dict[str, Any]], None], banner: Banner
    ) -> None:
        self._act = act
        super().__init__(picture, banner)

    def forget_all_but(self, heads: set[str]) -> None:
        """Keep only encoded pictures whose id starts with one of `heads`: full-size ones are large."""
        for identity in [each for each in self._encoded if not each.startswith(tuple(heads))]:
            self.forget(identity)

    def received(self, content: dict[str, Any]) -> None:
        """A message that is not about pixels."""
        self._act(content)


class ArenaPanel(widgets.VBox):
    """Judge pairs of pictures blindly, by keyboard or mouse. Every vote is on disk before the next pair is shown.

    Args:
        contest: of `make_contest`, or its folder.
        rater: short name; the same name goes on where it stopped.

    Raises:
        ArenaError: there is no contest, or the rater's name or file cannot be used.
    """

    def __init__(self, contest: Contest | str | Path, rater: str = "me") -> None:
        self.contest = contest if isinstance(contest, Contest) else open_contest(contest)
        self.ballot = Ballot(self.contest, rater)
        self.result: ArenaResult | None = None  # of all raters, after the reveal
        self.banner = Banner()
        self._jobs: list[Job] = []
        self._worker = Worker("arena-results")
        self._coalescer = Coalescer(self._deliver)
        self.view = ArenaView(self._picture, self._received, self.banner)
        style = widgets.HTML(f"<style>{CSS}</style>", layout=widgets.Layout(display="none"))
        super().__init__([style, self.view, self.banner])
        self.add_class("wb-panel")
        self.add_class("wb-arenapanel")
        self._show()
        if self.ballot.revealed:
            self._rate()

    def vote(self, number: int, choice: Any, seconds: float | None = None) -> None:
        """Answer the pair that is shown; see `Ballot.vote`."""
        try:
            self.ballot.vote(number, choice, seconds)
        finally:
            self._show()  # after a refused vote too: another tab may have gone on

    def undo(self) -> None:
        """Take the last vote back."""
        try:
            self.ballot.undo()
        finally:
            self._show()

    def reveal(self) -> None:
        """End the ballot for good and show names and ratings."""
        if not any(vote.choice != "skip" for vote in self.ballot.votes):
            raise ArenaError("There is no vote yet.", "Judge a few pairs first.")
        self.ballot.reveal()
        self._show()
        self._rate()

    def export(self, folder: str | Path | None = None) -> None:
        """Write votes and ratings as CSV, Parquet and JSON, by default into `results` in the contest's folder.

        Raises:
            ArenaError: the names are not revealed yet.
        """
        result = self.result
        if result is None:
            raise ArenaError("The ratings are not shown yet.", "Show them first.")

        def write(_: object) -> None:
            from evals.arena.files import export

            self._coalescer.post("saved", export(self.contest, folder or self.contest.folder / "results", result))

        self._submit("exporting", write)

    def wait(self, timeout: float = 600.0) -> bool:
        """Block until ratings and files are done and shown, or for `timeout` seconds; for scripts and tests."""
        end = time.monotonic() + timeout
        done = all(job.wait(max(0.0, end - time.monotonic())) for job in self._jobs)
        self._coalescer.flush()
        return done

    def close(self) -> None:
        """Remove the panel from the page."""
        self._worker.close(timeout=0)
        super().close()

    def _show(self) -> None:
        """Say what there is to see. Nothing in `state` depends on who drew what."""
        pair, answered, total = self.ballot.next, len(self.ballot.votes), len(self.ballot.pairs)
        self.view.state = {
            "phase": "over" if self.ballot.revealed else "done" if pair is None else "vote",
            "answered": answered,
            "total": total,
            "skipped": sum(vote.choice == "skip" for vote in self.ballot.votes),
            "question": self.contest.question,
            "pair": self._facts(pair),
            "next": self._facts(self.ballot.pairs[answered + 1] if answered + 1 < total else None),
        }
        self.view.forget_all_but({f"{number}:" for number in range(answered - 1, answered + AHEAD + 1)})

    def _facts(self, pair: Pair | None) -> dict[str, Any]:
        if pair is None or self.ballot.revealed:
            return {}
        item = self.contest.items[pair.item]
        return {
            "number": pair.number,
            "prompt": item.prompt,
            "left": f"{pair.number}:left",
            "right": f"{pair.number}:right",
            "references": [f"{pair.number}:reference-{place}" for place in range(len(item.references))],
        }

    def _picture(self, identity: str) -> Image.Image | None:
        """The picture of an id such as `12:left`, for the pair that is shown and the next one only."""
        number, _, what = identity.partition(":")
        place, answered = int(number), len(self.ballot.votes)
        if self.ballot.revealed or not answered <= place <= min(answered + AHEAD, len(self.ballot.pairs) - 1):
            return None
        pair = self.ballot.pairs[place]
        if what.startswith("reference-"):
            return self.contest.references(pair.item)[int(what.removeprefix("reference-"))]
        return self.contest.picture(pair.item, pair.left if what == "left" else pair.right)

    def _received(self, content: dict[str, Any]) -> None:
        self.banner.clear()
        match content.get("type"):
            case "vote":
                seconds = content.get("seconds")
                self.vote(int(content["number"]), content["choice"], None if seconds is None else float(seconds))
            case "undo":
                self.undo()
            case "reveal":
                self.reveal()
            case "export":
                self.export()
            case other:
                raise ArenaError(f"The view sent the unknown message {other!r}.")

    def _rate(self) -> None:
        def rate(_: object) -> None:
            from evals.arena.result import results

            self._coalescer.post("result", results(self.contest))

        self._submit("rating", rate)

    def _submit(self, title: str, body: Callable[[Any], None]) -> None:
        job = self._worker.submit(title, body, lambda job: self._coalescer.post(f"job {id(job)}", job))
        self._jobs = [*(other for other in self._jobs if not other.finished), job]

    def _deliver(self, news: dict[str, Any]) -> None:
        """News of the worker, shown by one thread at a time."""
        for key, value in news.items():
            with self.banner.guard():
                if isinstance(value, Job):
                    if value.error is not None:
                        self.banner.report(value.error)
                elif key == "result":
                    self.result = value
                    self.view.result = shown(value)
                elif key == "saved":
                    names = ", ".join(path.name for path in value)
                    saved = f"Saved {names} in {value[0].parent.absolute()}"
                    self.view.result = {**self.view.result, "saved": saved}


def shown(result: ArenaResult) -> dict[str, Any]:
    """What the browser needs of a result."""
    from evals.arena.words import sentences

    return {
        "title": result.title,
        "ratings": [asdict(each) for each in result.ratings],
        "sentences": sentences(result),
        "saved": "",
    }
