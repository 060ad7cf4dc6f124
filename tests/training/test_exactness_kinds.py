"""LoKr and OFT stopped and gone on with end in the very bytes of runs that never were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.made_runs import BUSY, LORA, joined
from tests.training.test_exactness import assert_same_end, stopped, straight

pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.slow, pytest.mark.once]

KINDS: dict[str, dict[str, Any]] = {
    "lokr": {"kind": "lokr", "rank": 2, "decompose_both": True, "conv_rank": 2, "scalar": True},
    "oft": {"kind": "oft", "rank": 8, "rescaled": True, "constraint": 0.01},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_with_everything_that_is_drawn(kind: str, tmp_path: Path) -> None:
    values = joined(LORA, {"network": KINDS[kind]})
    one = straight(tmp_path, values)
    other = stopped(tmp_path, joined(values, BUSY), 1, 8)
    assert_same_end(one, other)
    trained = [name for name in one.state() if name.startswith("trained/")]
    mark = {"lokr": ".lokr_w2_b", "oft": ".oft_blocks"}[kind]
    moved = [one.state()[name] for name in trained if name.endswith(mark)]
    assert moved and all(bool(tensor.any()) for tensor in moved)
