"""What a run is asked to do, by files in its folder or by its token, between two steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from finetune.runfolder import RunFolder, State
from workbench.engine.events import CancelToken

Due = Literal["", "stop", "save", "sample"]
POLL = 0.2  # seconds between two looks at a paused run's commands


def next_command(folder: RunFolder, token: CancelToken, tell: Callable[[State], object]) -> Due:
    """The command to obey now, taken from the folder; a paused run waits here.

    Args:
        folder: of the run.
        token: stops the run as the command does.
        tell: called with "paused" when a pause begins and "running" when it ends.
    """
    paused = False
    while True:
        if token.cancelled or folder.has("stop"):
            folder.clear("stop", "pause")
            return "stop"
        asked: tuple[Literal["save", "sample"], ...] = ("save", "sample")
        for command in asked:
            if folder.has(command):
                folder.clear(command)
                return command
        if not folder.has("pause"):
            if paused:
                tell("running")
            return ""
        if not paused:
            tell("paused")
        paused = True
        time.sleep(POLL)
