"""The engine in one thread, the writer in another, and the reader of the results in its own.

    engine thread -> results -> writer thread -> saved results -> reader

At most `AHEAD` results are under way between engine and reader, so a slow reader costs bounded memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING

from workbench.engine.events import CancelToken, Listener, Result
from workbench.errors import WorkbenchError
from workbench.logs import carried, get_logger
from workbench.recipe import Recipe
from workbench.store import Store

if TYPE_CHECKING:
    from workbench.engine import Engine

AHEAD = 32


class Pipeline:
    """Makes pictures and saves each before it is handed over.

    Args:
        engine: makes them.
        store: keeps them.
        finished: told of each result once it is saved, from the writer thread.
    """

    def __init__(self, engine: Engine, store: Store, finished: Callable[[Result], None]) -> None:
        self._engine, self._store, self._finished = engine, store, finished
        self._errors: dict[str, WorkbenchError] = {}  # by digest: equal recipes share the fate of the first one
        self._out: SimpleQueue[Result | _End] = SimpleQueue()
        self._slots = threading.Semaphore(AHEAD)
        self._bug: BaseException | None = None  # raised while saving, by our code or by the listener

    def run(
        self, recipes: Sequence[Recipe], *, listen: Listener | None, cancel: CancelToken | None, previews: bool
    ) -> Iterator[Result]:
        """Yield the engine's results, saved. Closing the iterator stops the engine within one step.

        Raises:
            Cancelled: at the end, when `cancel` was used.
        """
        token = _EitherToken(cancel)

        def work() -> None:
            failure: BaseException | None = None
            with ThreadPoolExecutor(1, thread_name_prefix="workbench-writer") as writer:
                try:
                    for result in self._engine.run(recipes, listen=listen, cancel=token, previews=previews):
                        self._slots.acquire()
                        writer.submit(carried(self._save), result, token)
                except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
                    failure = error
            self._out.put(_End(self._bug or failure))

        thread = threading.Thread(target=carried(work), name="workbench-engine", daemon=True)
        thread.start()
        end: _End | None = None
        try:
            while not isinstance(item := self._out.get(), _End):
                self._slots.release()
                yield item
            end = item
        finally:
            if end is None:  # the reader left early, or was interrupted
                token.cancel()
                while not isinstance(self._out.get(), _End):
                    self._slots.release()
            thread.join()
        if end.failure is not None:
            raise end.failure

    def _save(self, result: Result, token: CancelToken) -> None:
        try:
            if result.digest in self._errors:
                result = replace(result, picture=None, error=self._errors[result.digest])
            elif result.picture is not None and not result.reused:
                try:
                    self._store.add(result)
                except WorkbenchError as error:
                    self._errors[result.digest] = error
                    result = replace(result, picture=None, error=error)
            _log(result)
            self._finished(result)
        except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
            self._bug = self._bug or error
            token.cancel()
        self._out.put(result)


def _log(result: Result) -> None:
    """One line a picture: which, and how long it took or why it failed; never its words.

    A failure is no warning: whoever reads the results is handed the error.
    """
    log = get_logger("session")
    if result.error is not None:
        log.info("picture failed", recipe=result.digest[:12], error=result.error)
    elif not result.reused:
        log.info("picture saved", recipe=result.digest[:12], seconds=round(sum(result.seconds.values()), 3))


class _End:
    """The last thing in the queue."""

    def __init__(self, failure: BaseException | None) -> None:
        self.failure = failure


class _EitherToken(CancelToken):
    """Cancelled when it is, or when the caller's token is."""

    def __init__(self, other: CancelToken | None) -> None:
        super().__init__()
        self._other = other

    @property
    def cancelled(self) -> bool:
        """Whether either was cancelled."""
        return super().cancelled or (self._other is not None and self._other.cancelled)

    def dropped(self, digest: str) -> bool:
        """Whether either has dropped the picture."""
        return super().dropped(digest) or (self._other is not None and self._other.dropped(digest))
