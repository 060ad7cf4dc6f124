from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.build import attach
from lib_dreambooth.adapters.parts import Trainable
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.keymap import TEXT, UNET
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.encoding import caption_states
from lib_dreambooth.training.micro_step import micro_step
from lib_dreambooth.training.objective.objective import Objective
from lib_dreambooth.training.precision import checkpointing as module
from lib_dreambooth.training.precision.checkpointing import LEVELS, KeptInSystemMemory, checkpointing, units
from tests.models.tiny import tiny_sd1, tiny_sdxl
from tests.training.made_batches import made_batch, made_run
from tests.training.plain_step import STYLE

BUILDERS = {"sd1": tiny_sd1, "sdxl": tiny_sdxl}
# With dropout, so that what is computed twice has to draw the same twice.
SETTINGS = {
    "network.rank": 2,
    "network.conv_rank": 2,
    "network.dropout": 0.25,
    "parts.text_encoder_1.train": True,
    "parts.text_encoder_2.train": True,
}


@dataclass(eq=False)
class Case:
    model: LoadedModel
    ours: Trainable
    run: Run

    def step(self, level: str) -> tuple[dict[str, Tensor], int]:
        """The gradients of a step at a level, and how many bytes it keeps for the backward pass."""
        kept: list[int] = []

        def keep(tensor: Tensor) -> Tensor:
            kept.append(tensor.numel() * tensor.element_size())
            return tensor

        states_of = partial(caption_states, self.model, style=STYLE)
        torch.manual_seed(4)
        with checkpointing(self.modules, level) as forward:
            counting = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
            with forward, nullcontext() if level == "offload" else counting:
                batch = made_batch((0, 1), dtype=torch.float32)
                losses = micro_step(self.model, Objective(self.run, self.model), batch, states_of)
            for part in self.ours.parts():
                part.parameter.grad = None
            losses.total.backward()  # type: ignore[no-untyped-call]
        found = {part.name: part.parameter.grad for part in self.ours.parts()}
        return {name: value for name, value in found.items() if value is not None}, sum(kept)

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {part: root for part, root in self.model.modules.items() if part.startswith((UNET, TEXT))}


@pytest.fixture(scope="module", params=BUILDERS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    path: Path = BUILDERS[request.param](tmp_path_factory.mktemp("checkpoint"))
    run = made_run(SETTINGS)
    model = read_model(path)
    ours = attach(run, model.modules, names_of(model.source.kind), request.param, rules=model.rules)
    generator = torch.Generator().manual_seed(1)
    for part in ours.parts():
        part.parameter.data = 0.1 * torch.randn(part.parameter.shape, generator=generator)
    for part in {UNET, *ours.trained_roots()}:
        ours.start(part)
    yield Case(model, ours, run)


@pytest.mark.slow
def test_every_level_gives_the_same_gradients_and_keeps_less(case: Case) -> None:
    expected, all_kept = case.step("off")
    moved = {part.part for part in case.ours.parts() if expected.get(part.name) is not None}
    assert moved >= {UNET, TEXT}
    again, _ = case.step("off")
    assert all(torch.equal(again[name], expected[name]) for name in expected)
    kept = {"off": all_kept}
    for level in LEVELS[1:]:
        gradients, kept[level] = case.step(level)
        assert set(gradients) == set(expected)
        differing = [name for name in expected if not torch.equal(gradients[name], expected[name])]
        assert differing == [], level
    assert kept["on"] < kept["some"] < kept["off"]
    assert kept["on"] < kept["off"] / 3


def test_the_largest_are_at_the_ends_of_the_unet(case: Case) -> None:
    unet = case.modules[UNET]
    has_first = hasattr(unet.down_blocks[0], "attentions")  # type: ignore[index]
    first, last = ("0", "3") if has_first else ("1", "1")
    some = units(UNET, unet, "some")
    assert some and {name.split(".attentions")[0] for name in some} == {
        f"down_blocks.{first}",
        f"up_blocks.{last}",
    }
    assert set(some) < set(units(UNET, unet, "on"))


def test_all_of_it_are_blocks_beside_each_other(case: Case) -> None:
    """None inside another: that one would be computed three times."""
    for part, root in case.modules.items():
        names = units(part, root, "on")
        assert names
        assert not [(a, b) for a in names for b in names if a != b and b.startswith(f"{a}.")]
        assert units(part, root, "off") == []
        if part != UNET:
            assert units(part, root, "some") == []


def forwards(case: Case) -> dict[str, Any]:
    return {
        f"{part}.{name}": found.__dict__["forward"]
        for part, root in case.modules.items()
        for name, found in root.named_modules()
        if "forward" in found.__dict__
    }


def test_afterwards_the_model_is_as_before(case: Case) -> None:
    before = forwards(case)
    with checkpointing(case.modules, "on"):
        assert len(forwards(case)) > len(before)
    assert forwards(case) == before
    with pytest.raises(RuntimeError, match="stop"), checkpointing(case.modules, "on"):
        raise RuntimeError("stop")
    assert forwards(case) == before


def test_previews_compute_nothing_twice(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[object] = []
    monkeypatch.setattr(module, "checkpoint", lambda *args, **kwargs: called.append(args))
    linear = nn.Linear(2, 2)
    with torch.no_grad():
        assert module.twice(linear.forward, torch.ones(1, 2)).shape == (1, 2)
    assert called == []


def test_what_is_kept_elsewhere_can_be_entered_again_and_again() -> None:
    elsewhere = KeptInSystemMemory()
    weight = nn.Parameter(torch.ones(3))
    for _ in range(2):
        with elsewhere:
            with elsewhere:
                total = (weight * weight).sum()
        total.backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None and weight.grad.tolist() == [4.0, 4.0, 4.0]
