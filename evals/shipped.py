"""Writing the suites that come with the project: one form of file, one kind of heading."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from evals.suite import Prompt, Suite
from workbench.store import write_atomically

SHIPPED = Path(__file__).parent / "suites"


def own_suite(name: str, about: str, prompts: Iterable[Prompt], *scorers: str) -> Suite:
    """A suite of this project's own making, in its first version."""
    return Suite(
        name=name,
        version=1,
        about=about,
        prompts=tuple(prompts),
        source="written by this project's own generator",
        licence="Apache-2.0",
        scorers=scorers,
    )


def encoded(suite: Suite) -> bytes:
    """The file's bytes: fields with their default value are left out."""
    return (suite.model_dump_json(indent=1, exclude_defaults=True) + "\n").encode()


def ship(*suites: Suite) -> None:
    """Write each to its place in the package."""
    for suite in suites:
        write_atomically(SHIPPED / f"{suite.name}.json", encoded(suite))
