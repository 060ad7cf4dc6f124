"""Blocks and gaps of a heap."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.forecast.heap import LOOSE, MAPPED, Heap


def test_a_gap_of_its_own_size_does_not_suffice_for_a_block() -> None:
    heap = Heap()
    for block, size in enumerate((6400, 6400, 64)):
        heap.take(block, size)
    heap.give(0)
    heap.take(3, 6400)
    assert heap.resident == 2 * 6400 + 64 + 6400
    heap.give(1)
    # Both gaps are one now.
    heap.take(4, 2 * 6400 - 128 - LOOSE // 64 * 64)
    assert heap.resident == heap.highest == 3 * 6400 + 64


def test_large_blocks_are_given_back() -> None:
    heap = Heap()
    heap.take(1, MAPPED)
    heap.give(1)
    assert (heap.resident, heap.highest) == (0, MAPPED)


def test_what_comes_again_finds_what_stays() -> None:
    heap = Heap()
    heap.restart()
    heap.take(2, 6400)
    heap.take(3, 128)
    heap.give(2)
    heap.settle([1280])
    heap.repeat()
    # The third stays and does not come again; the second no longer fits where it was.
    assert heap.resident == heap.highest == 6400 + 128 + 6400


def test_what_belongs_to_a_graph_keeps_neighbours_apart_until_it_is_gone() -> None:
    heap = Heap()
    heap.restart(has_graph=True)
    for block in range(10):
        heap.take(block, 6400)
    for block in range(10):
        heap.give(block)
    heap.take(10, 5 * 6400)
    assert heap.resident > 10 * 6400 + 4 * 6400
    before = heap.resident
    heap.give(10)
    heap.restart()
    heap.take(11, 5 * 6400)
    assert heap.resident == before


@given(st.booleans(), st.lists(st.tuples(st.integers(0, 9), st.integers(1, 1 << 20)), max_size=60))
def test_no_byte_is_given_twice(has_graph: bool, asked: list[tuple[int, int]]) -> None:
    heap, there = Heap(), {}
    heap.restart(has_graph=has_graph)
    for block, size in asked:
        if block in there:
            heap.give(block)
            del there[block]
        else:
            heap.take(block, size)
            there[block] = size
        assert heap.highest >= heap.resident >= sum(there.values())
        places = sorted(heap._blocks.values())
        assert all(start + size <= after for (start, size), (after, _) in pairwise(places))
    for block in there:
        heap.give(block)
    heap.restart()
    # All that is free became one.
    assert (heap._gaps, heap._end) == ([], 0)


def test_what_another_thread_let_go_stays_with_the_process() -> None:
    heap = Heap()
    heap.take(1, 6400, is_elsewhere=True)
    heap.give(1)
    heap.take(2, 640)
    assert heap.resident == 6400 + 640
