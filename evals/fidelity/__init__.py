"""How near a picture stays to what it started from, how exactly it hits a colour, and how much seeds differ.

`pixels`, `edits`, `hexcolour` and `diversity` need no weights; `perceptual` (LPIPS) and `features` (DINO) do.
"""

from __future__ import annotations
