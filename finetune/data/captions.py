"""What can be wrong with captions: equal ones, long ones, and pictures that tell two stories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from finetune.data.example import Example
from finetune.data.problems import Problem

if TYPE_CHECKING:
    from workbench.models.catalog import Model

Counter = Callable[[str], int]


def token_counter(model: Model) -> Counter | None:
    """Counts the tokens of a caption as the engine reads it, chat template and all; None where it cannot be told."""
    if model.family.pipeline != "Flux2KleinPipeline":
        return None
    from transformers import Qwen2Tokenizer

    tokenizer: Any = Qwen2Tokenizer.from_pretrained(model.path / "tokenizer", local_files_only=True)

    def count(caption: str) -> int:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": caption}], tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return len(tokenizer(text, verbose=False)["input_ids"])

    return count


def identical(examples: Sequence[Example]) -> list[Problem]:
    """Captions that several different pictures share: the model cannot tell which of them is meant."""
    users: dict[str, list[str]] = defaultdict(list)
    for example in examples:
        for text in example.captions:
            users[text].append(example.id)
    shared = {text: ids for text, ids in users.items() if len(ids) > 1}
    if not shared:
        return []
    most, ids = max(shared.items(), key=lambda pair: len(pair[1]))
    what = (
        f"{sum(map(len, shared.values()))} pictures have a caption that others have too; {len(ids)} have {most[:80]!r}"
    )
    remedy = "Say in each caption what changes from picture to picture; what is equal in all is what is learned."
    return [
        Problem(
            "identical captions",
            "warning",
            what,
            remedy,
            tuple(dict.fromkeys(name for names in shared.values() for name in names)),
        )
    ]


def too_long(examples: Sequence[Example], count: Counter, limit: int) -> list[Problem]:
    """Captions whose end the model would not read."""
    lengths = {text: count(text) for text in dict.fromkeys(text for each in examples for text in each.captions)}
    over = {text: length for text, length in lengths.items() if length > limit}
    if not over:
        return []
    longest, length = max(over.items(), key=lambda pair: pair[1])
    ids = tuple(each.id for each in examples if any(text in over for text in each.captions))
    what = f"{len(ids)} with a caption of more than {limit} tokens; the longest has {length}: {longest[:60]!r}..."
    return [Problem("long captions", "warning", what, "Shorten them: what is past the limit is not read.", ids)]


def longest(examples: Sequence[Example], count: Counter) -> int:
    """Tokens of the longest caption."""
    return max(count(text) for text in {text for each in examples for text in each.captions})
