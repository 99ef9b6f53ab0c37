"""Logs: lines for people on a terminal, JSON lines for machines, silence in a notebook unless asked.

Log what happened and to which digest; never a prompt, a path of the user's or an environment variable. Passwords and
tokens are taken out of every line. What belongs together carries one context, also across threads:

    with logs.context(job=7, worker="a"):
        pool.submit(logs.carried(work))      # its lines say job=7 worker=a too
"""

from __future__ import annotations

import contextvars
import functools
import logging
import sys
from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager
from typing import Any, Literal, ParamSpec, TypeVar, cast

import structlog

from workbench.errors import WorkbenchError
from workbench.redaction import redact_all

Style = Literal["console", "json"]
P = ParamSpec("P")
R = TypeVar("R")

_chosen = False  # whether somebody has called `set_up`


def set_up(level: int | str = logging.WARNING, *, style: Style = "console") -> None:
    """Choose what is logged to stderr, and how. Without a call, warnings and worse are shown as console lines.

    Args:
        level: least level shown, as in `logging`: a number, or a name such as "info".
        style: `console` for people, `json` for one JSON object a line.
    """
    global _chosen  # noqa: PLW0603 - what is configured is the process's, as structlog's own
    _chosen = True
    _configure(level, style)


def follow(level: str, style: Style) -> None:
    """What the settings say, unless `set_up` was called: a session that starts does this."""
    if not _chosen:
        _configure(level, style)


def get_logger(part: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of one part of the workbench, for example `store`."""
    if not structlog.is_configured():
        _configure(logging.WARNING, "console")
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(part=part))


def context(**values: Any) -> AbstractContextManager[None]:
    """Every line inside carries these values; the usual ones are `job`, `recipe` (a digest's first digits) and `worker`."""
    return cast("AbstractContextManager[None]", structlog.contextvars.bound_contextvars(**values))


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, to be run in another thread, with the context of here and now. Async tasks have it by themselves."""
    here = contextvars.copy_context()

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        return here.copy().run(function, *args, **kwargs)  # a copy: one context cannot be entered by two threads

    return run


def _configure(level: int | str, style: Style) -> None:
    renderer: Any = (
        structlog.processors.JSONRenderer(default=str)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _tell_errors,
            structlog.processors.format_exc_info,
            _redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_StderrFactory(),
        cache_logger_on_first_use=False,  # a later set_up takes effect everywhere
    )


def _tell_errors(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An error of ours under `error` becomes its sentence, its remedy and its code."""
    error = entry.get("error")
    if isinstance(error, WorkbenchError):
        entry.update(error=error.message, code=error.code)
        if error.remedy:
            entry["remedy"] = error.remedy
    return entry


def _redact(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: redact_all(value) for name, value in entry.items()}


class _StderrFactory:
    """Looks stderr up at every use, because notebooks and test runners replace it."""

    def __call__(self, *_args: Any) -> structlog.PrintLogger:
        return structlog.PrintLogger(sys.stderr)
