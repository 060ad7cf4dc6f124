"""What a C library's heap holds of the computer's memory, where blocks come and go: blocks and gaps between.

Follows glibc's before 2.38: the smallest gap that suffices is taken and split, neighbours that are free
become one, and large blocks are mapped each for itself. Pages that were written once stay with the process:
something small always lies at the end, so that nothing there is given back (`keepcost` is 0 at the peak).

A block that begins behind another leaves a sliver in between, for PyTorch's alignment. While a graph stands,
what belongs to its nodes settles in many of these: neighbours do not become one before the graph is gone. Of
742 blocks at the beginning of a backward pass 571 had such a neighbour, and 163 still had it at its end.
Where a graph is built a second time, piece by piece, they go with their piece.

How much these gaps amount to differs from run to run of the same settings, by 0.1 GB in 2.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable

import torch

from lib_dreambooth.base.versions import first_two

# In place of where a block begins.
IN_MAPPING, ELSEWHERE = -1, -2
# Blocks from here on are mapped and given back at once: glibc's threshold rises to this as blocks are freed.
MAPPED = 32 << 20
GRAIN = 64
# PyTorch's blocks begin at multiples of 64 bytes: a gap has to have so much more than a block for that, so
# that a block's own gap does not suffice for the next of its size.
LOOSE = 96
# The share of blocks with something small in front of them for as long as a graph stands, of such sizes.
PINNED, SMALLEST_PINNED = (0.85 if first_two(torch.__version__) < (2, 2) else 0.65), 1024
# So many are there at a time of pieces that are built a second time.
BRIEF = 128


class Heap:
    """Blocks by a number each; `resident` is what the process holds for them, `highest` its highest mark."""

    def __init__(self) -> None:
        self.highest = 0
        self._mapped = 0
        self._elsewhere = 0
        self._end = 0  # of the last block
        self._touched = 0  # pages up to here stay with the process
        self._gaps: list[tuple[int, int]] = []  # size and start, the smallest first
        self._starts: dict[int, int] = {}  # of gaps: start to size
        self._ends: dict[int, int] = {}  # of gaps: end to start
        self._blocks: dict[int, tuple[int, int]] = {}  # start and size
        self._noted: list[tuple[int, int]] = []  # blocks with their size, 0 where they were let go
        self._has_graph = False
        self._pins: deque[int] = deque()  # where they start
        self._due = 0.0  # of the next one
        self._in_pieces_from: int | None = None  # of what was noted

    @property
    def resident(self) -> int:
        return self._touched + self._mapped + self._elsewhere

    def restart(self, *, has_graph: bool = False) -> None:
        """The highest mark from here on, where nothing else than a graph is built, where one is."""
        self._let_go_of_pins(0)
        self.highest = self.resident
        self._noted = []
        self._has_graph = has_graph
        self._in_pieces_from = None

    def in_pieces(self) -> None:
        """From here on what a graph consists of is built a second time, and gone soon."""
        self._in_pieces_from = len(self._noted)

    def settle(self, sizes: Iterable[int]) -> None:
        """Blocks of these sizes come to stay."""
        for place, num_bytes in enumerate(sizes):
            self.take(-1 - place, num_bytes)

    def repeat(self) -> None:
        """All that came and went since `restart` once more; what came to stay does not come again."""
        noted, stays = self._noted, {block for block, size in self._noted if size and block in self._blocks}
        turn = self._in_pieces_from
        self.restart(has_graph=self._has_graph)
        taken: set[int] = set()
        for number, (block, size) in enumerate(noted):
            if number == turn:
                self.in_pieces()
            if size and block not in stays:
                self.take(block, size)
                taken.add(block)
            elif not size and block in taken:
                self.give(block)
                taken.remove(block)

    def pass_by(self, num_bytes: int) -> None:
        """A block for a moment."""
        self.take(0, num_bytes)
        self.give(0)

    def take(self, block: int, num_bytes: int, *, is_elsewhere: bool = False) -> None:
        """A block is asked for; `is_elsewhere`: by a thread that is over.

        Threads have heaps of their own, and what is free in one of them is no other's.
        """
        self._noted.append((block, num_bytes))
        size = max(GRAIN, -(-num_bytes // GRAIN) * GRAIN)
        if size >= MAPPED:
            self._mapped += size
            self._blocks[block] = (IN_MAPPING, size)
        elif is_elsewhere:
            self._elsewhere += size
            self._blocks[block] = (ELSEWHERE, size)
        else:
            self._blocks[block] = (self._pinned(size) if self._is_pinned(size) else self._place(size), size)
        self.highest = max(self.highest, self.resident)

    def give(self, block: int) -> None:
        """A block is let go."""
        self._noted.append((block, 0))
        start, size = self._blocks.pop(block)
        if start == IN_MAPPING:
            self._mapped -= size
        if start >= 0:
            self._free(start, size)

    def _free(self, start: int, size: int) -> None:
        end = start + size
        if end in self._starts:
            after = self._starts[end]
            self._remove(end, after)
            end += after
        if start in self._ends:
            start = self._ends[start]
            self._remove(start, self._starts[start])
        if end < self._end:
            self._insert(start, end - start)
            return
        self._end = start

    def _is_pinned(self, size: int) -> bool:
        if not self._has_graph or size < SMALLEST_PINNED:
            return False
        self._due += PINNED
        is_due = self._due >= 1
        self._due -= is_due
        return is_due

    def _pinned(self, size: int) -> int:
        """A place with something small in front."""
        start = self._place(size + GRAIN)
        self._pins.append(start)
        if self._in_pieces_from is not None:
            self._let_go_of_pins(BRIEF)
        return start + GRAIN

    def _let_go_of_pins(self, most: int) -> None:
        while len(self._pins) > most:
            self._free(self._pins.popleft(), GRAIN)

    def _place(self, size: int) -> int:
        at = bisect_left(self._gaps, (size + LOOSE, -1))
        if at == len(self._gaps):
            start = self._end
            self._end += size
            self._touched = max(self._touched, self._end)
            return start
        found, start = self._gaps[at]
        self._remove(start, found)
        if found > size:
            self._insert(start + size, found - size)
        return start

    def _insert(self, start: int, size: int) -> None:
        insort(self._gaps, (size, start))
        self._starts[start] = size
        self._ends[start + size] = start

    def _remove(self, start: int, size: int) -> None:
        del self._gaps[bisect_left(self._gaps, (size, start))]
        del self._starts[start]
        del self._ends[start + size]
