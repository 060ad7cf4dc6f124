"""Batches taken in pieces: the same pictures, noise and mean, and the same gradients but for rounding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.adapters.dropping import Piece, dropped, kept_ranks
from lib_dreambooth.jobs.completing import complete, on_base
from lib_dreambooth.runs.commands import CommandBox
from lib_dreambooth.training.trainer.control import Control
from lib_dreambooth.training.trainer.epochs import encode_epoch
from lib_dreambooth.training.trainer.preparing import Preparer, Rooms
from lib_dreambooth.training.trainer.ready import Ready
from lib_dreambooth.training.trainer.splitting import more_pieces, rows_of
from lib_dreambooth.training.trainer.stepping import Stepper
from lib_dreambooth.training.trainer.taking import Taking
from tests.training.made_runs import MadeRun, joined

CPU = torch.device("cpu")
FOUR = {"memory": {"pieces": 2}, "length": {"batch_size": 4}, "captions": {"pad": False}}
NO_TEXT = {"parts": {"text_encoder_1": {"train": False}}}
BY_CHANCE = {"network": {"dropout": 0.2, "rank_dropout": 0.2, "module_dropout": 0.2}}


@given(st.integers(1, 40), st.integers(1, 50))
def test_pieces_are_all_rows_once(count: int, pieces: int) -> None:
    found = [list(range(count))[rows] for rows in rows_of(count, pieces)]
    assert [row for piece in found for row in piece] == list(range(count))
    assert min(map(len, found)) >= 1 and max(map(len, found)) - min(map(len, found)) <= 1


def test_batches_are_split_down_to_single_pictures() -> None:
    found, pieces = [], 1
    while (more := more_pieces(pieces, 6)) is not None:
        found.append(pieces := more)
    assert found == [2, 4, 6]
    assert more_pieces(1, 1) is None


@pytest.mark.parametrize("shape", [(4, 7, 3), (4, 3, 5, 6), (4, 3)])
@pytest.mark.parametrize("is_last", [False, True])
def test_pieces_leave_out_what_the_whole_batch_would(shape: tuple[int, ...], is_last: bool) -> None:
    values = torch.randn(shape)
    if is_last and len(shape) == 4:
        values = values.contiguous(memory_format=torch.channels_last)
    for draw in (lambda x, piece: dropped(x, 0.4, piece), lambda x, piece: x * kept_ranks(x, 0.4, piece)):
        torch.manual_seed(3)
        whole, after = draw(values, None), float(torch.rand(1))
        for rows in rows_of(4, 3):
            torch.manual_seed(3)
            assert torch.equal(draw(values[rows], Piece(rows, 4)), whole[rows])
            # What is drawn next is the same too.
            assert float(torch.rand(1)) == after


def test_the_setting_counts_before_what_was_chosen() -> None:
    assert Taking(pieces=4).pieces_for(0) == 4
    assert Taking(pieces=4).pieces_for(2) == 2
    assert Taking().pieces_for(0) == 1


def gradients(ready: Ready, pieces: int, seen: list[int]) -> tuple[float, list[torch.Tensor]]:
    """The loss and gradients of the first step, with the sizes of what the UNet was given."""
    note: Callable[..., None] = lambda module, args: seen.append(len(args[0]))  # noqa: E731
    handle = ready.model.unet.register_forward_pre_hook(note)
    stepper = Stepper(ready, lambda part: None)
    stepper.pieces = pieces
    [plan] = ready.dataset.plan.step(0)
    # A network begins at zero, and half of its gradients with it.
    generator = torch.Generator().manual_seed(1)
    for part in ready.parts:
        part.parameter.data.normal_(0, 0.05, generator=generator)
        part.parameter.grad = None
    loss = float(stepper._gradients(0, 0, ready.assembler.make(plan), 1.0))
    handle.remove()
    found = [part.parameter.grad for part in ready.parts]
    return loss, [torch.zeros(1) if one is None else one.clone() for one in found]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{}, NO_TEXT, BY_CHANCE, {"network": {**BY_CHANCE["network"], "kind": "loha"}}],
    ids=["captions encoded in the step", "ahead", "with dropout", "with dropout of another kind"],
)
def test_two_pieces_of_two_are_one_of_four(changes: dict[str, Any], tmp_path: Path) -> None:
    made = MadeRun(tmp_path, joined(FOUR, changes), num_pictures=5)
    run = complete(on_base(made.sourced, made.base)).run
    control = Control(CommandBox(), lambda event: None)
    preparer = Preparer(
        run, CPU, Rooms(tmp_path / "cache", tmp_path / "classes"), control, lambda event: None
    )
    ready = preparer.ready(preparer.materials(preparer.read(), preparer.scan()))
    assert ready.pieces == 2
    encode_epoch(ready, 0, control, preparer.progress)
    # Captions of different lengths: a piece of short ones has to be filled up to the others'.
    sizes: list[int] = []
    loss, whole = gradients(ready, 1, sizes)
    other, pieces = gradients(ready, 2, sizes)
    assert sizes == [4, 2, 2]
    assert other == pytest.approx(loss, rel=1e-5)
    for one, two in zip(whole, pieces, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-6 + 1e-4 * float(one.abs().max()))
    ready.trained.eject()
