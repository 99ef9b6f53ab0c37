"""What the engine asks of an architecture, and the tensors that pass between them.

B rows of N picture tokens with C channels, R reference tokens, L text tokens of width D; P is the width of a pooled text
vector, E the number of further channels of a picture token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from workbench.engine.plan import Job
from workbench.models.inputs import Inputs
from workbench.models.loading import Components

Read = Callable[[], Image.Image]
"""Opens a picture and brings it to the size at which the model sees it."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """One prompt as the text encoders read it."""

    ids: Tensor  # int64 (1, length), padded
    mask: Tensor  # int64 (1, length), 1 where a token is text
    total: int  # tokens of the whole prompt with its template, before anything is cut
    second: Tensor | None = None  # int64 (1, length of the second encoder), where there is one

    @property
    def lost(self) -> int:
        """Tokens at the end that are not read."""
        return max(0, self.total - self.ids.shape[1])


@dataclass(frozen=True, slots=True)
class Text:
    """Features of prompts, one row each."""

    embeds: Tensor  # (B, L, D)
    pooled: Tensor | None = None  # (B, P)
    seen_by: Tensor | None = None  # bool (B, K, N), which places see each of K texts side by side; None: all see all
    spans: tuple[int, ...] = ()  # tokens of each of the K texts; empty: there is one

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each text: what rows of one pass share."""
        return self.spans or (self.embeds.shape[1],)

    def choose(self, rows: Tensor | list[int]) -> Text:
        """Only these rows."""
        pooled = None if self.pooled is None else self.pooled[rows]
        return Text(self.embeds[rows], pooled, None if self.seen_by is None else self.seen_by[rows], self.spans)

    def to(self, device: torch.device) -> Text:
        """The same on a device."""
        return Text(self.embeds.to(device), None if self.pooled is None else self.pooled.to(device))

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.embeds.nbytes + (0 if self.pooled is None else self.pooled.nbytes)

    @staticmethod
    def join(parts: Sequence[Text]) -> Text:
        """The rows of all parts, one after the other; texts of equal lengths."""
        pooled = [part.pooled for part in parts if part.pooled is not None]
        seen = [part.seen_by for part in parts if part.seen_by is not None]
        embeds = torch.cat([part.embeds for part in parts])
        return Text(embeds, torch.cat(pooled) if pooled else None, torch.cat(seen) if seen else None, parts[0].spans)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What one row is given besides its text. Before `Kind.start` an image may be in any form that the kind chooses."""

    references: Tensor | None = None  # tokens of all references, one after the other, (1, R, C)
    image: Tensor | None = None  # the picture to start from, (1, N, C)
    mask: Tensor | None = None  # (1, N, 1), 1 is drawn anew
    extra: Tensor | None = None  # further channels of every picture token, (1, N, E)


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes in tokens, shared by all rows of a batch."""

    rows: int  # of the picture
    columns: int
    references: tuple[tuple[int, int], ...] = ()  # rows and columns of each


@dataclass(frozen=True, slots=True)
class Call:
    """The inputs of one pass of the transformer."""

    latents: Tensor  # (B, N, C) at the model's precision
    text: Text
    time: Tensor  # the scheduler's timestep, float32 (B,), 0 to 1000; pipelines round it in different places
    next_time: Tensor  # where the step leads, 0 after the last: for models that learned the jump itself
    guidance: Tensor  # float32 (B,), for models that take their guidance scale as an input
    layout: Layout
    references: Tensor | None = None  # (B, R, C)
    extra: Tensor | None = None  # (B, N, E)


class Pictures(Protocol):
    """Keeps what the VAE and other encoders made of pictures."""

    inputs: Inputs

    def get(self, parts: Components, facts: tuple[object, ...], read: Read, encode: Callable[..., Tensor]) -> Tensor:
        """`encode(parts, read())`, or what it was the last time for these facts and this VAE."""
        ...


class Kind(Protocol):
    """An architecture. Implementations hold no state: all of it is in `Components`."""

    def tokenize(self, parts: Components, prompt: str, length: int) -> Tokens:
        """The prompt as exactly `length` tokens, or as the family's window rule says."""
        ...

    def encode(self, parts: Components, tokens: Tokens) -> Text:
        """Features of one prompt, at the model's precision on its device. Training calls this too."""
        ...

    def encode_picture(self, parts: Components, picture: Image.Image) -> Tensor:
        """An RGB picture as normalised tokens (1, N, C): the mode of the VAE's answer. Training calls this too."""
        ...

    def to_vae(self, parts: Components, tokens: Tensor, rows: int, columns: int) -> Tensor:
        """Tokens (B, N, C) as the VAE's decoder takes them: (B, C / 4, 2 rows, 2 columns)."""
        ...

    def from_vae(self, parts: Components, latents: Tensor) -> Tensor:
        """The inverse of `to_vae`: (B, C / 4, 2 rows, 2 columns) to (B, N, C)."""
        ...

    def look(self, parts: Components, job: Job, pictures: Pictures) -> Conditions:
        """What the pictures of a job's recipe are to the model."""
        ...

    def enrich(self, parts: Components, job: Job, text: Text, pictures: Pictures) -> Text:
        """The features of a job's prompt with what its recipe adds to them, such as pictures read as text."""
        ...

    def start(self, parts: Components, job: Job, given: Conditions, layout: Layout) -> tuple[Tensor, Conditions]:
        """The initial noise (1, N, C) of a row at the model's precision, and its conditions as the steps use them.

        All random numbers of a picture are drawn here, by one generator on the CPU seeded with the recipe's seed, in
        the order of the diffusers pipeline.
        """
        ...

    def mu(self, config: dict[str, Any], tokens: int, steps: int) -> float:
        """The logarithm of the time shift, where the scheduler's configuration asks for a dynamic one."""
        ...

    def velocity(self, parts: Components, call: Call) -> Tensor:
        """The transformer's answer for the picture's tokens, (B, N, C) at the model's precision."""
        ...
