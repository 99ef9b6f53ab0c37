"""What `workbench doctor` is made of: sections of checks, which any part may add.

    @section("memory")
    def memory(settings: Settings) -> list[Check]:
        ...

A part whose module is not imported by the doctor itself is named in `workbench.doctor.PARTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from workbench.settings import Settings

State = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's report."""

    name: str
    value: str  # what was found, for people
    state: State = "ok"
    remedy: str = ""  # what to do, where the state is not ok


Examine = Callable[[Settings], Iterable[Check]]

SECTIONS: dict[str, Examine] = {}
"""Sections by title, in the order in which they were added."""


def section(title: str) -> Callable[[Examine], Examine]:
    """Add a section to the report; a second one of the same title takes its place."""

    def add(examine: Examine) -> Examine:
        SECTIONS[title] = examine
        return examine

    return add
