"""Blocks that are alike are gone through once, and count as if each had been gone through."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_dreambooth.forecast import meter as meters
from lib_dreambooth.forecast.alike import once_for_alike
from lib_dreambooth.forecast.meter import Meter, TooMuch
from lib_dreambooth.forecast.rehearsal import Passed, Rehearsal
from tests.forecast.made_scenes import CARD, CPU, MINI, SDXL, UNET_ALONE, scene

BYTES = 4
OF_RANKS = {"network": {"rank": 4, "layer_ranks": {"*up_blocks.3.attentions.1*": 8}}}
PASSES = ("draw", "texts", "decode")


def passed(made: Rehearsal, name: str) -> Passed:
    if name == "draw":
        return made.draw((512, 512), 1, 0, ["unet"])
    return made.read_texts() if name == "texts" else made.decode((512, 512), 0, ["vae"])


@contextlib.contextmanager
def one_by_one(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every block for itself, and a look at what is held after every operation."""
    with patch.context() as own:
        own.setattr(Rehearsal, "_alike", lambda *given: contextlib.nullcontext())
        own.setattr(meters, "OFTEN", 1)
        yield


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize(
    ("base", "changes"),
    [
        pytest.param(SDXL, UNET_ALONE, id="xl"),
        pytest.param(MINI, {}, id="lora"),
        pytest.param(MINI, {"network": {"kind": "none"}}, id="whole"),
        pytest.param(MINI, {"network": {"kind": "lokr", "rank": 4}}, id="lokr"),
        pytest.param(MINI, OF_RANKS, id="ranks"),
    ],
)
def test_the_same_as_one_by_one(
    base: Any, changes: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = passed(Rehearsal(scene(base, changes, CARD)), name)
    with one_by_one(monkeypatch):
        wanted = passed(Rehearsal(scene(base, changes, CARD)), name)
    assert found == wanted


def test_few_of_an_xl_model_are_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = []
    for is_alone in (False, True):
        made = Rehearsal(scene(SDXL, UNET_ALONE, CARD))
        kind = type(made.model.unet.mid_block.attentions[0].transformer_blocks[0])
        counted: list[int] = []
        own, forward = monkeypatch.context(), kind.forward

        def count(self: Any, *args: Any, forward: Any = forward, counted: Any = counted) -> Any:
            counted.append(1)
            return forward(self, *args)

        with own as patch:
            patch.setattr(kind, "forward", count)
            with one_by_one(patch) if is_alone else contextlib.nullcontext():
                passed(made, "draw")
        numbers.append(len(counted))
    few, all_of_them = numbers
    assert all_of_them == 70
    assert few <= 4


def test_a_heap_is_followed_through_all_of_them() -> None:
    made = Rehearsal(scene(MINI, {}, CPU))
    with made._alike(made._meter()):
        assert not any("forward" in one.__dict__ for one in made.model.unet.modules())


class Block(nn.Module):
    """Takes more for a moment than it gives: something new, a part of something larger, or its input."""

    def __init__(self, way: str = "new") -> None:
        super().__init__()
        self.way = way
        self.inner = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "same":
            return x
        double = torch.cat([x, x])
        return double[: len(x)] if self.way == "view" else x + 1


class Kept(nn.Module):
    """Leaves something behind in a list."""

    def __init__(self, behind: list[Tensor]) -> None:
        super().__init__()
        self.behind = behind
        self.inner = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        self.behind.append(x + 2)
        return x + 1


def counted(blocks: list[nn.Module], *, is_once: bool, limit: float = float("inf")) -> Meter:
    roots = nn.ModuleList(blocks)
    meter = Meter(limit=limit)
    x = torch.empty(1000, device="meta")
    with meter, once_for_alike([nn.ModuleList([roots])] if is_once else [], meter, {}):
        meter.hold([x], meters.ACTIVATIONS)
        meter.restart()
        for block in roots:
            x = block(x)
        meter.look()
        # What is gone is looked for.
        meter.keep()
    return meter


@pytest.mark.parametrize("way", ["new", "same", "view"])
def test_what_a_block_gives(way: str) -> None:
    found = counted([Block(way) for _ in range(3)], is_once=True)
    wanted = counted([Block(way) for _ in range(3)], is_once=False)
    assert (found.work, found.total) == (wanted.work, wanted.total)
    assert found.largest == wanted.largest


def test_what_blocks_leave_behind_adds_up() -> None:
    found = counted([Kept([]) for _ in range(5)], is_once=True)
    behind: list[Tensor] = []
    wanted = counted([Kept(behind) for _ in range(5)], is_once=False)
    assert found.total == wanted.total == BYTES * 1000 * 6


def test_the_like_of_it_may_be_too_much_too() -> None:
    with pytest.raises(TooMuch):
        counted([Kept([]) for _ in range(5)], is_once=True, limit=BYTES * 1000 * 5.5)
