"""A suite: named, versioned prompts that stay the same from report to report."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import WorkbenchError, nearest

Kind = Literal["single", "relation", "count", "word", "word+shape"]
_SHIPPED = Path(__file__).parent / "suites"


class SuiteError(WorkbenchError):
    """A suite is unknown or its file is not one."""

    code = "WB403"


class Prompt(BaseModel):
    """One prompt of a suite."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(min_length=1, description="Unique within the suite; stays when prompts are added.")]
    kind: Annotated[Kind, Field(description="What the prompt tests.")]
    prompt: Annotated[str, Field(min_length=1, description="The sentence given to the model.")]


class Suite(BaseModel):
    """Prompts under a name and a version; the version rises with any change of a prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int = Field(ge=1)
    about: str
    prompts: tuple[Prompt, ...] = Field(min_length=1)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over ids and prompts, 64 hexadecimal digits."""
        lines = "\n".join(f"{each.id}\t{each.kind}\t{each.prompt}" for each in self.prompts)
        return hashlib.sha256(lines.encode()).hexdigest()

    def limited(self, limit: int | None) -> Suite:
        """A smaller suite of `limit` prompts spread evenly over this one, so that every kind keeps its share.

        Raises:
            SuiteError: `limit` is below 1.
        """
        if limit is None or limit >= len(self.prompts):
            return self
        if limit < 1:
            raise SuiteError(f"The limit {limit} leaves no prompt.", "Use 1 or more.")
        places = (index * len(self.prompts) // limit for index in range(limit))
        return self.model_copy(update={"prompts": tuple(self.prompts[place] for place in places)})


def suite_names() -> list[str]:
    """Names of the suites that come with the package."""
    return sorted(path.stem for path in _SHIPPED.glob("*.json"))


def load_suite(name: str = "nano-1") -> Suite:
    """Read a suite by its name, or by the path of a JSON file of the same form.

    Raises:
        SuiteError: there is none of that name, or the file is no suite or repeats an id.
    """
    path = Path(name) if name.endswith(".json") else _SHIPPED / f"{name}.json"
    if not path.is_file():
        raise SuiteError(f"There is no suite {name!r}.", nearest(name, suite_names()))
    try:
        suite = Suite.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise SuiteError(f"The suite {name!r} cannot be read: {where}: {first['msg']}.") from None
    if len({each.id for each in suite.prompts}) < len(suite.prompts):
        raise SuiteError(f"The suite {name!r} uses an id twice.", "Give every prompt an id of its own.")
    return suite
