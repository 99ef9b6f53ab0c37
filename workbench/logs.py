"""Logs: lines for people on a terminal, JSON lines for machines, silence in a notebook unless asked.

Log what happened and to which digest; never a prompt, a path of the user's or an environment variable.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal, cast

import structlog

Style = Literal["console", "json"]


def set_up(level: int = logging.WARNING, *, style: Style = "console") -> None:
    """Choose what is logged to stderr, and how. Without a call, warnings and worse are shown as console lines.

    Args:
        level: least level shown, as in `logging`.
        style: `console` for people, `json` for one JSON object a line.
    """
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_StderrFactory(),
        cache_logger_on_first_use=False,  # a later set_up takes effect everywhere
    )


def get_logger(part: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of one part of the workbench, for example `store`."""
    if not structlog.is_configured():
        set_up()
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(part=part))


class _StderrFactory:
    """Looks stderr up at every use, because notebooks and test runners replace it."""

    def __call__(self, *_args: Any) -> structlog.PrintLogger:
        return structlog.PrintLogger(sys.stderr)
