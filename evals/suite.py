"""A suite: named, versioned prompts that stay the same from report to report.

A row says what is asked twice: as the sentence that a model gets, and in `ask` as plain values that scorers read.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from workbench.errors import WorkbenchError, nearest

_SHIPPED = Path(__file__).parent / "suites"
MOST_BYTES = 64 * 2**20  # of a suite file; the largest public one has 5 MB


class SuiteError(WorkbenchError):
    """A suite is unknown or its file is not one."""

    code = "WB403"


class Prompt(BaseModel):
    """One prompt of a suite.

    `ask` holds plain JSON values, all optional; a scorer reads only the keys that it knows:

    - `text`: list of the texts asked, one for each region; an empty list says that no text is wanted.
      `text_case`: "exact" or "any".
    - `objects`: list of {"class", "colour"?, "count"?, "exact_count"?}; `relations`: list of {"first", "relation",
      "second"} with places in `objects` and "left of", "right of", "above" or "below"; `background`: a colour name.
    - `questions`: list of {"id", "question", "depends_on"}.
    - `edit`: {"changed", "kind"}; `colour`: a HEX colour such as "#1f77b4".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(min_length=1, description="Unique within the suite; stays when prompts are added.")]
    kind: Annotated[str, Field(min_length=1, description="The skill that the prompt tests.")]
    prompt: Annotated[str, Field(min_length=1, description="The sentence given to the model.")]
    ask: dict[str, Any] = Field(default_factory=dict, description="What a correct picture holds.")
    references: Annotated[
        tuple[str | dict[str, Any], ...],
        Field(description="Pictures an edit starts from: paths beside the suite's file, or generated scenes."),
    ] = ()
    width: Annotated[int | None, Field(ge=16, description="Pixels; empty: the model's.")] = None
    height: Annotated[int | None, Field(ge=16, description="Pixels; empty: the model's.")] = None
    cluster: Annotated[
        str,
        Field(description="Prompts of one cluster are variants of each other and count as one; empty: own cluster."),
    ] = ""

    @field_validator("id", "kind", "prompt")
    @classmethod
    def _not_blank(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("it is blank")
        return text

    @field_validator("ask")
    @classmethod
    def _plain(cls, ask: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(ask, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"it is no plain JSON ({error})") from None
        return ask

    @property
    def group(self) -> str:
        """The cluster that the statistics count as one independent draw."""
        return self.cluster or self.id

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all that decides what is drawn and asked, 64 hexadecimal digits; the id is no part of it."""
        return hashlib.sha256(self._line().encode()).hexdigest()

    def _line(self) -> str:
        """Kind and prompt, then what a plain row does not have, so that plain suites keep their fingerprint."""
        extra = self.model_dump(mode="json", exclude_defaults=True, exclude={"id", "kind", "prompt"})
        if not extra.get("ask"):
            extra.pop("ask", None)
        tail = "\t" + json.dumps(extra, sort_keys=True, ensure_ascii=False, separators=(",", ":")) if extra else ""
        return f"{self.kind}\t{self.prompt}{tail}"


class Suite(BaseModel):
    """Prompts under a name and a version; the version rises with any change of a prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: int = Field(ge=1)
    about: str
    licence: str = Field(default="", description="Of the prompts, as an SPDX name where there is one.")
    source: str = Field(default="", description="Where the prompts come from: file and SHA-256, or paper.")
    scorers: tuple[str, ...] = Field(default=(), description="Names of the scorers that the suite is made for.")
    notes: tuple[str, ...] = Field(default=(), description="What a reader of scores must know, one sentence each.")
    folder: str = Field(default="", exclude=True, description="Folder that paths of references start from.")
    prompts: tuple[Prompt, ...] = Field(min_length=1)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over ids, prompts and what is asked, 64 hexadecimal digits."""
        lines = "\n".join(f"{each.id}\t{each._line()}" for each in self.prompts)
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The skills, in the order of their first prompt."""
        return tuple(dict.fromkeys(each.kind for each in self.prompts))

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

    def remarks(self) -> list[str]:
        """What is unusual about the prompts and may change what scores mean, one sentence each."""
        found = list(self.notes)
        counts = Counter(each._line() for each in self.prompts)
        if repeated := [line.split("\t")[1] for line, count in counts.items() if count > 1]:
            extra = sum(counts.values()) - len(counts)
            found.append(
                f"{extra} of {len(self.prompts)} prompts repeat another one word for word under an id of their own, for "
                f"example {repeated[0]!r}; each is drawn with seeds of its own."
            )
        for script, about in (("cjk", "Chinese, Japanese or Korean letters"), ("rtl", "a right-to-left script")):
            rows = [each for each in self.prompts if script in _scripts(_wording(each))]
            if rows:
                found.append(
                    f"{len(rows)} of {len(self.prompts)} prompts hold {about} (first: {rows[0].id!r}); a scorer that "
                    "reads or understands other scripts only gives low values there."
                )
        return found


def _wording(prompt: Prompt) -> str:
    return " ".join([prompt.prompt, *map(str, prompt.ask.get("text", ()))])


def _scripts(text: str) -> set[str]:
    """Of "cjk" and "rtl" those that occur in `text`, by Unicode name and direction."""
    found = set()
    for letter in set(text):
        if ord(letter) < 0x0590:
            continue
        if unicodedata.bidirectional(letter) in {"R", "AL"}:
            found.add("rtl")
        elif unicodedata.name(letter, "").startswith(("CJK", "HIRAGANA", "KATAKANA", "HANGUL")):
            found.add("cjk")
    return found


def suite_names() -> list[str]:
    """Names of the suites that come with the package."""
    return sorted(path.stem for path in _SHIPPED.glob("*.json"))


def load_suite(name: str | Path = "nano-1") -> Suite:
    """Read a suite by its name, from a JSON file of the same form, or from a public benchmark's file.

    Args:
        name: a shipped suite ("nano-1"), the path of a .json file, or FORMAT:PATH, for example
            "geneval:evaluation_metadata.jsonl"; `evals.loaders.loaders` lists the formats.

    Raises:
        SuiteError: there is none of that name, or the file is no suite, repeats an id or has a blank prompt.
    """
    text = str(name)
    head, colon, tail = text.partition(":")
    if colon and tail and len(head) > 1 and not Path(text).is_file():  # one letter is a drive on Windows
        from evals.loaders import load_public

        return load_public(head, Path(tail))
    path = Path(text) if text.endswith(".json") else _SHIPPED / f"{text}.json"
    if not path.is_file():
        raise SuiteError(f"There is no suite {text!r}.", nearest(text, suite_names()))
    suite = parse_suite(read_limited(path), text)
    return suite.model_copy(update={"folder": str(path.absolute().parent)})


def read_limited(path: Path) -> bytes:
    """The content of a suite file.

    Raises:
        SuiteError: it cannot be read, or is larger than any suite.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SuiteError(f"The file {str(path)!r} has more than {MOST_BYTES // 2**20} MiB and is no suite.")
        return path.read_bytes()
    except OSError as error:
        raise SuiteError(f"The file {str(path)!r} cannot be read: {error.strerror}.") from None


def parse_suite(content: bytes | dict[str, Any], name: str) -> Suite:
    """A suite from JSON text or from values; `name` is what messages call it.

    Raises:
        SuiteError: a wrong or missing field, a blank prompt, or an id that is used twice.
    """
    try:
        if isinstance(content, bytes):
            suite = Suite.model_validate_json(content)
        else:
            suite = Suite.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        reason = first["msg"].removeprefix("Value error, ")
        raise SuiteError(f"The suite {name!r} cannot be read: {where}: {reason}.") from None
    counts = Counter(each.id for each in suite.prompts)
    if twice := [each for each, count in counts.items() if count > 1]:
        raise SuiteError(
            f"The suite {name!r} uses an id twice: {twice[0]!r}{f' and {len(twice) - 1} others' if twice[1:] else ''}.",
            "Give every prompt an id of its own.",
        )
    return suite
