"""The README's figures are those of benchmarks/results."""

from __future__ import annotations

from benchmarks.quoted import BEGIN, END, README, quoted


def test_the_table_is_that_of_the_results() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    # Where this fails after a benchmark: python benchmarks/quoted.py
    assert quoted(text) == text
