"""The embedded model's tokenizer: a Qwen2 byte-level BPE whose merges are written by hand.

Merges only ever start at a leading space, so every word of the lexicon is one token when it follows a space, and every
other text, the letters inside quotes above all, is one token a character: spelling needs that.
"""

from __future__ import annotations

from transformers import Qwen2Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from workbench.nano.scenes import COLOURS, NUMBERS, SHAPES

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

# The space after <|im_start|> lets the first word of a prompt be a lexicon word like any other.
CHAT_TEMPLATE = "{% for m in messages %}<|im_start|> {{ m['content'] }}<|im_end|>{% endfor %}"

LEXICON = (
    *COLOURS,
    *SHAPES,
    *(f"{shape}s" for shape in SHAPES if shape != "cross"),
    "crosses",
    *NUMBERS.values(),
    *"a an the one and or on in of at to with no not small large big tiny huge medium left right above below top".split(),
    *"bottom middle center centre corner side next between under over behind front word words text letters says".split(),
    *"saying written write spelled background picture image photo drawing make turn change move remove delete add".split(),
    *"replace swap draw put place keep same colour color shape size everything else this that is are it its from".split(),
    *"first second third fourth into as than more less larger smaller bigger upper lower case digits number plain".split(),
    '"',
    "#",
)
"""Words that are one token after a space; those beyond today's grammar leave room for editing instructions."""


def build_tokenizer() -> Qwen2Tokenizer:
    """The tokenizer as a `Qwen2Tokenizer`, padding on the right, with the chat template set."""
    alphabet = bytes_to_unicode()
    space = alphabet[ord(" ")]
    vocabulary = {symbol: index for index, symbol in enumerate(alphabet.values())}
    merges: list[tuple[str, str]] = []
    for word in LEXICON:
        prefix = space
        for character in word:
            pair = (prefix, character)
            prefix += character
            if prefix not in vocabulary:
                vocabulary[prefix] = len(vocabulary)
                merges.append(pair)
    for token in SPECIAL:
        vocabulary[token] = len(vocabulary)
    return Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        pad_token=SPECIAL[0],
        padding_side="right",
        additional_special_tokens=list(SPECIAL[1:]),
        chat_template=CHAT_TEMPLATE,
    )
