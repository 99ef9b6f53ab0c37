"""Which parts of a picture are the letters of its word: rows, the line of the word, and what strays from it."""

from __future__ import annotations

from evals.scenes.segment import LEAST_AREA, Blob

DOT = 0.3  # share of the row's height by which a dot may be above it
GRAIN = 0.06  # share of the largest letter below which a part is no part of a letter


def row_of(letters: tuple[Blob, ...]) -> tuple[Blob, ...]:
    """The presumed letters that stand in one row: the row of most letters, of two such the one with more ink."""
    big = [blob for blob in letters if blob.area >= LEAST_AREA] or list(letters)
    rows = []
    for one in big:
        middle = (one.box[1] + one.box[3]) / 2
        rows.append(tuple(blob for blob in big if blob.box[1] <= middle <= blob.box[3]))
    return max(rows, key=lambda row: (len(row), sum(blob.area for blob in row)), default=())


def line_of(letters: tuple[Blob, ...]) -> tuple[Blob, ...]:
    """The row of the word with the parts beside and between its letters, without grains of noise."""
    row = row_of(letters)
    if not row:
        return ()
    top, bottom = min(blob.box[1] for blob in row), max(blob.box[3] for blob in row)
    least = GRAIN * max(blob.area for blob in row)
    top -= DOT * (bottom - top)  # a word such as "xig" has dots above all its letters
    return tuple(blob for blob in letters if blob.box[3] > top and blob.box[1] < bottom and blob.area >= least)


def strays_of(letters: tuple[Blob, ...]) -> int:
    """How many of the presumed letters are objects apart from the line of the word."""
    line = line_of(letters)
    return sum(blob.area >= LEAST_AREA and blob not in line for blob in letters)


def middle_of(blobs: tuple[Blob, ...]) -> tuple[float, float] | None:
    """Middle of the box around all of `blobs`."""
    if not blobs:
        return None
    left, top = (min(blob.box[side] for blob in blobs) for side in (0, 1))
    right, bottom = (max(blob.box[side] for blob in blobs) for side in (2, 3))
    return (left + right) / 2, (top + bottom) / 2
