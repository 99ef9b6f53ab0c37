"""A judge for pictures of flat shapes and words, by classical vision on the pixels.

It shares no code, outlines or colour values with the renderer whose model it judges: colours are named in CIELAB from
exemplars of its own, shapes are matched to templates drawn from formulas of its own, words are read by an OCR engine.
"""

from __future__ import annotations
