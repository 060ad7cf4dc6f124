"""Coming back to where nothing had moved: only where nothing has."""

from __future__ import annotations

import pytest

from lib_dreambooth.training.optimizers.before_move import BeforeMove
from lib_dreambooth.training.optimizers.names import Known
from tests.training.made_parts import give_gradients, same, take_steps, weights_of
from tests.training.test_fused_backward import APART
from tests.training.test_optimizers_state import optimizer_over, parts_for


@pytest.mark.parametrize("known", APART)
def test_what_has_moved_is_not_taken_for_unmoved(known: Known) -> None:
    """Some libraries write into weights without PyTorch's knowledge."""
    parts = parts_for(known)
    optimizer = optimizer_over(known, parts)
    before = BeforeMove(optimizer)
    # RAdam moves nothing in its first steps.
    take_steps(optimizer, parts, 0, 8)
    assert not before.restore()


def test_what_fails_before_anything_moves_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    known = APART[0].values[0]
    straight, parts = parts_for(known), parts_for(known)
    take_steps(optimizer_over(known, straight), straight, 0, 2)
    optimizer = optimizer_over(known, parts)
    before = BeforeMove(optimizer)

    def fails() -> None:
        raise RuntimeError("CUDA out of memory.")

    with monkeypatch.context() as patch:
        patch.setattr(optimizer.movers[0].made, "step", fails)
        optimizer.set_rates(0)
        give_gradients(parts, 0)
        with pytest.raises(RuntimeError):
            optimizer.step()
    assert before.restore()
    take_steps(optimizer, parts, 0, 2)
    assert same(weights_of(parts), weights_of(straight))
