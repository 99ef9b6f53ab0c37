"""Pictures as the transformer takes them: every distinct picture goes through the VAE once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from PIL import Image
from torch import Tensor

from workbench.engine.kinds import Conditions, kind_of
from workbench.engine.kinds.pictures import token_mask
from workbench.engine.plan import Job
from workbench.models.inputs import Inputs
from workbench.models.loading import Components

__all__ = ["Conditions", "PictureCache", "encode_picture", "token_mask"]


def encode_picture(parts: Components, picture: Image.Image) -> Tensor:
    """An RGB picture as tokens (1, N, C) at the model's precision: the mode of the VAE's answer, normalised."""
    return kind_of(parts).encode_picture(parts, picture)


class PictureCache:
    """What the VAE made of pictures, by all that decides it: VAE, precision, device, pixels, size.

    Args:
        inputs: where the pictures are.
        limit: bytes kept in memory; the least recently used go first.
    """

    def __init__(self, inputs: Inputs, limit: int = 256 * 2**20) -> None:
        self.inputs, self._limit = inputs, limit
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self._bytes = 0
        self.encoded = 0  # pictures that went through the VAE
        self.found = 0  # pictures that were there already

    def conditions(self, parts: Components, job: Job) -> Conditions:
        """What a job's row is given.

        Raises:
            InputError: a picture is gone or was changed on disk.
        """
        return kind_of(parts).look(parts, job, self)

    def get(
        self,
        parts: Components,
        facts: tuple[object, ...],
        read: Callable[[], Image.Image],
        encode: Callable[[Components, Image.Image], Tensor],
    ) -> Tensor:
        """`encode` of the picture that `read` gives and `facts` identify."""
        vae = parts.model.component_fingerprint("vae")
        identity = (vae, parts.precision, str(parts.device), encode.__name__, facts)
        key = hashlib.sha256(repr(identity).encode()).hexdigest()
        if (found := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            self.found += 1
            return found
        value = encode(parts, read())
        self.encoded += 1
        self._kept[key] = value
        self._bytes += value.nbytes
        while self._bytes > self._limit and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return value

    def clear(self) -> None:
        """Forget what is in memory."""
        self._kept.clear()
        self._bytes = 0
