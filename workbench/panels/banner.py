"""Errors of callbacks, made visible: a red strip in the panel with the sentence and its remedy.

JupyterLab sends what a callback raises to a log console that nobody has open. Every callback of a panel runs inside
`Banner.guard` (or is wrapped by `Banner.guarded`), so that the person sees what happened where it happened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from html import escape
from typing import Any, Literal

import ipywidgets as widgets

from workbench.errors import WorkbenchError

log = logging.getLogger(__name__)

Level = Literal["error", "warning"]


class Banner(widgets.HBox):
    """A strip that is empty until something has to be said, and that the reader can dismiss."""

    def __init__(self) -> None:
        self.text = ""  # what is shown, as plain text; empty when nothing is
        self._html = widgets.HTML(layout=widgets.Layout(flex="1 1 auto"))
        self.dismiss = widgets.Button(icon="times", tooltip="Dismiss", layout=widgets.Layout(width="32px"))
        self.dismiss.add_class("wb-dismiss")
        self.dismiss.on_click(lambda _: self.clear())
        super().__init__([self._html, self.dismiss])
        self.add_class("wb-banner")
        self.clear()

    def show(self, message: str, remedy: str = "", *, level: Level = "error") -> None:
        """Say `message` in bold and `remedy` after it. Both are plain text."""
        self.text = f"{message} {remedy}".strip()
        self._html.value = f"<b>{escape(message)}</b> {escape(remedy)}"
        self.remove_class("wb-warning" if level == "error" else "wb-error")
        self.add_class(f"wb-{level}")
        self.layout.display = "flex"

    def report(self, error: BaseException) -> None:
        """Show `error`; one that is not addressed to the user is a bug of ours and goes to the log as well."""
        if isinstance(error, WorkbenchError):
            self.show(error.message, error.remedy)
            return
        log.error("unexpected error in a panel", exc_info=error)
        name = type(error).__name__
        self.show(f"Unexpected error: {name}: {error}", "The log has the details; the panel goes on working.")

    def clear(self) -> None:
        """Show nothing."""
        self.text = self._html.value = ""
        self.layout.display = "none"

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Report what the block raises, and go on after it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the one place where every error of a callback ends
            self.report(error)

    def guarded(self, callback: Callable[..., Any]) -> Callable[..., None]:
        """`callback` inside `guard`; it returns nothing and raises nothing."""

        @wraps(callback)
        def safe(*args: Any, **kwargs: Any) -> None:
            with self.guard():
                callback(*args, **kwargs)

        return safe
