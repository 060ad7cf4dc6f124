"""A run that trains words, stopped and gone on with, ends in the very bytes of one that never was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth.runs.events import Sampled
from tests.training.made_runs import BUSY, MadeRun, assert_same, joined, tensors_of
from tests.training.made_words import ALONE, PAIRED
from tests.training.test_exactness import assert_same_end, stopped, straight

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick"), pytest.mark.once]
ROWS = "trained/words.zwx.text_encoder"
NAMES = {"captions": {"shuffle": True}}


def embeddings(run: MadeRun) -> list[Path]:
    return sorted((run.root / "embeddings").rglob("*.safetensors"))


def assert_same_words(one: MadeRun, other: MadeRun) -> None:
    assert_same(one.state(), other.state())
    # The first stop wrote a file too; the last one has a number then.
    assert_same(tensors_of(embeddings(one)[-1]), tensors_of(newest(embeddings(other))))


def newest(paths: list[Path]) -> Path:
    return max(paths, key=lambda path: path.stat().st_mtime_ns)


def test_a_word(tmp_path: Path) -> None:
    values = joined(ALONE, NAMES, {"ema": {"use": True}})
    one = straight(tmp_path, values)
    other = stopped(tmp_path, joined(values, BUSY), 1, 8)
    assert_same_words(one, other)
    state = one.state()
    assert state[ROWS].shape[0] == 3 and not torch.equal(state[ROWS], state[f"ema{ROWS[len('trained') :]}"])
    assert {name.split("/")[0] for name in state} == {"trained", "optimizer", "ema"}
    assert other.told(Sampled) and "encoding captions" not in one.phases()


@pytest.mark.parametrize("words_as", ["pair", "bundle"])
def test_a_word_and_a_network(words_as: str, tmp_path: Path) -> None:
    """The word rests for three steps and stops before the end (pivotal tuning)."""
    window: dict[str, Any] = {"parts": {"words": {"start": "3 steps", "stop": "8 steps"}}}
    values = joined(PAIRED, NAMES, window, {"saving": {"words_as": words_as}})
    one = straight(tmp_path, values)
    other = stopped(tmp_path, joined(values, BUSY), 2, 6, 10)
    assert_same_end(one, other)
    if words_as == "pair":
        assert_same_words(one, other)
    else:
        assert not embeddings(one)
        bundled = "bundle_emb.zwx.string_to_param.*"
        assert torch.equal(tensors_of(one.files()[-1])[bundled], one.state()[ROWS])
