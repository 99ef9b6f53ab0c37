"""Which text that was read belongs to which text that was asked for.

An OCR engine breaks one asked text into several lines, runs two neighbours together, and reads signs nobody asked for.
Lines are first matched one to one at the least total edit distance (the Hungarian method), then each line left over
joins the text that it brings nearer, then a line that holds two texts is cut between two words where that helps both.
What brings no text nearer is left over: extra text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from evals.typography.edits import distance

MOST_LINES = 400  # beyond this a picture is noise; further lines are extra text


@dataclass(frozen=True, slots=True)
class Matched:
    """For each asked text what was read of it ("" for nothing), and the lines that belong to none."""

    texts: tuple[str, ...]
    extra: tuple[str, ...] = ()


@dataclass(slots=True)
class _Piece:
    """A line, or a part of one, with its place in reading order."""

    order: tuple[int, int]
    text: str


@dataclass(slots=True)
class _Slot:
    """An asked text and the pieces read of it."""

    wanted: str
    pieces: list[_Piece] = field(default_factory=list)

    def text(self, *further: _Piece) -> str:
        """The pieces in reading order, parted by blanks where the asked text has any."""
        pieces = sorted([*self.pieces, *further], key=lambda piece: piece.order)
        return (" " if " " in self.wanted or not self.wanted else "").join(piece.text for piece in pieces)

    def distance(self, *further: _Piece) -> int:
        """Edits between the asked text and all pieces."""
        return distance(self.wanted, self.text(*further))


def match_regions(wanted: Sequence[str], lines: Sequence[str]) -> Matched:
    """Assign lines in reading order to asked texts, both in the same view.

    Args:
        wanted: the asked texts, none empty.
        lines: the lines read, in reading order; empty ones count for nothing.
    """
    pieces = [_Piece((place, 0), line) for place, line in enumerate(lines) if line]
    slots = [_Slot(text) for text in wanted]
    pieces, beyond = pieces[:MOST_LINES], pieces[MOST_LINES:]
    left = _one_to_one(slots, pieces)
    left = _join(slots, left)
    _cut(slots)
    left = _cut_left(slots, left)
    return Matched(tuple(slot.text() for slot in slots), tuple(piece.text for piece in (*left, *beyond)))


def _one_to_one(slots: list[_Slot], pieces: list[_Piece]) -> list[_Piece]:
    """Fill the slots at the least total distance; the pieces that are left over."""
    if not slots or not pieces:
        return pieces
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    # What matching a pair changes: its distance instead of an empty slot's. A pair that does not help stays apart.
    gains = np.array([[slot.distance(piece) - len(slot.wanted) for piece in pieces] for slot in slots])
    taken: set[int] = set()
    for row, column in zip(*linear_sum_assignment(np.minimum(gains, 0)), strict=True):
        if gains[row, column] < 0:
            slots[row].pieces.append(pieces[column])
            taken.add(int(column))
    return [piece for place, piece in enumerate(pieces) if place not in taken]


def _join(slots: list[_Slot], left: list[_Piece]) -> list[_Piece]:
    """Add pieces to slots, the greatest gain first, as long as one helps."""
    left = list(left)
    while left and slots:
        gain, place, slot = max(
            (
                (slot.distance() - slot.distance(piece), -place, slot)
                for slot in slots
                for place, piece in enumerate(left)
            ),
            key=lambda option: option[:2],
        )
        if gain <= 0:
            break
        slot.pieces.append(left.pop(-place))
    return left


def _cut(slots: list[_Slot]) -> None:
    """Cut a slot's line in two and give one part to another slot, where that lowers the sum of both distances."""
    for giver in slots:
        for taker in slots:
            if giver is taker:
                continue
            for piece in list(giver.pieces):
                _give(giver, taker, piece)


def _give(giver: _Slot, taker: _Slot, piece: _Piece) -> None:
    best, chosen = giver.distance() + taker.distance(), None
    giver.pieces.remove(piece)
    for head, tail in _halves(piece):
        for kept, given in ((head, tail), (tail, head)):
            total = giver.distance(kept) + taker.distance(given)
            if total < best:
                best, chosen = total, (kept, given)
    if chosen:
        giver.pieces.append(chosen[0])
        taker.pieces.append(chosen[1])
    else:
        giver.pieces.append(piece)


def _cut_left(slots: list[_Slot], left: list[_Piece]) -> list[_Piece]:
    """Give parts of lines left over to slots that they bring nearer: a sign run together with extra text."""
    rest: list[_Piece] = []
    for piece in left:
        parts = [(slot, *pair) for slot in slots for half in _halves(piece) for pair in (half, half[::-1])]
        gains = [slot.distance() - slot.distance(given) for slot, given, _ in parts]
        if gains and max(gains) > 0:
            slot, given, kept = parts[gains.index(max(gains))]
            slot.pieces.append(given)
            rest.append(kept)
        else:
            rest.append(piece)
    return rest


def _halves(piece: _Piece) -> list[tuple[_Piece, _Piece]]:
    """The piece cut before each of its words but the first."""
    tokens = piece.text.split(" ")
    row, column = piece.order
    return [
        (_Piece((row, column), " ".join(tokens[:cut])), _Piece((row, column + cut), " ".join(tokens[cut:])))
        for cut in range(1, len(tokens))
    ]
