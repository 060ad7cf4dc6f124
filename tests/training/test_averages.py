from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch

from lib_dreambooth import settings
from lib_dreambooth.training.averages import Averages, averages_of, decay_at
from tests.training.made_parts import MadePart, made_parts, same, weights_of


def move(parts: list[MadePart], step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for part in parts:
            part.parameter.add_(torch.randn(part.parameter.shape, generator=generator))


def test_the_average_follows_fast_at_first() -> None:
    assert decay_at(0.999, 1) == pytest.approx(2 / 11)
    assert decay_at(0.999, 100) == pytest.approx(101 / 110)
    assert decay_at(0.999, 100_000) == 0.999


def test_an_interval_keeps_the_length_in_steps() -> None:
    assert decay_at(0.999, 100_000, every=5) == pytest.approx(0.999**5)


def test_the_average_is_the_formula() -> None:
    parts = made_parts([(3, 2)])
    averages = Averages(parts, decay=0.5)
    expected = parts[0].parameter.detach().double()
    for step in range(1, 21):
        move(parts, step)
        averages.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * parts[0].parameter.detach().double()
    assert torch.allclose(averages.values()[parts[0].name].double(), expected, atol=1e-6)


def test_updates_fall_on_the_interval() -> None:
    parts = made_parts([(2,)])
    averages = Averages(parts, decay=0.9, every=3)
    before = averages.values()[parts[0].name].clone()
    move(parts, 1)
    averages.update(1)
    averages.update(2)
    assert torch.equal(averages.values()[parts[0].name], before) and averages.num_updates == 0
    averages.update(3)
    assert not torch.equal(averages.values()[parts[0].name], before) and averages.num_updates == 1


def test_the_live_weights_never_change_because_of_it() -> None:
    parts, alone = made_parts(), made_parts()
    averages = Averages(parts, decay=0.9)
    for step in range(1, 6):
        move(parts, step)
        move(alone, step)
        averages.update(step)
        with averages.swapped():
            assert not same(weights_of(parts), weights_of(alone))
    assert same(weights_of(parts), weights_of(alone))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_averages_are_in_place_while_inside_and_never_stay(dtype: torch.dtype) -> None:
    parts = made_parts(dtype=dtype)
    averages = Averages(parts, decay=0.9)
    move(parts, 1)
    averages.update(1)
    live = weights_of(parts)
    objects = [part.parameter for part in parts]
    with pytest.raises(RuntimeError, match="preview"), averages.swapped(parts):
        shown = [averages.values()[part.name].to(dtype) for part in parts]
        assert same(weights_of(parts), shown)
        raise RuntimeError("preview")
    assert same(weights_of(parts), live)
    assert all(part.parameter is kept for part, kept in zip(parts, objects, strict=True))


def test_a_state_goes_on_bit_for_bit() -> None:
    straight = made_parts()
    whole = Averages(straight, decay=0.9, every=2)
    stopped = made_parts()
    first = Averages(stopped, decay=0.9, every=2)
    for step in range(1, 12):
        move(straight, step)
        whole.update(step)
        if step <= 5:
            move(stopped, step)
            first.update(step)
    tensors, scalars = first.state()
    data, text = safetensors.torch.save(tensors), json.dumps(scalars)
    second = Averages(stopped, decay=0.9, every=2)
    second.load(safetensors.torch.load(data), json.loads(text))
    for step in range(6, 12):
        move(stopped, step)
        second.update(step)
    assert all(torch.equal(second.values()[name], value) for name, value in whole.values().items())
    assert second.num_updates == whole.num_updates == 5


def test_the_average_of_half_weights_is_kept_in_float32() -> None:
    averages = Averages(made_parts(dtype=torch.bfloat16), decay=0.9)
    assert {value.dtype for value in averages.values().values()} == {torch.float32}


def test_settings_say_whether_how_and_where() -> None:
    parts = made_parts()
    assert averages_of(settings.read({}).run.ema, parts) is None
    ema = settings.read({"ema": {"use": True, "decay": 0.99, "every": 4, "place": "system"}}).run.ema
    made = averages_of(ema, parts)
    assert made is not None and (made.decay, made.every) == (0.99, 4)
    assert {value.device.type for value in made.values().values()} == {"cpu"}


@pytest.mark.gpu
@pytest.mark.parametrize(("place", "kind"), [("card", "cuda"), ("system", "cpu")])
def test_the_place_is_obeyed(place: str, kind: str) -> None:
    part = MadePart("unet.w", torch.nn.Parameter(torch.ones(2, device="cuda")))
    averages = Averages([part], decay=0.9, place=place)
    averages.update(1)
    assert {value.device.type for value in averages.values().values()} == {kind}
    with averages.swapped():
        assert part.parameter.is_cuda


def test_a_pause_changes_nothing() -> None:
    parts = made_parts([(3, 2)])
    for place in ("card", "system"):
        averages = Averages(parts, decay=0.9, place=place)
        before = averages.values()
        averages.to(torch.device("cpu"))
        assert averages.values().keys() == before.keys()
        assert all(torch.equal(averages.values()[name], before[name]) for name in before)


@pytest.mark.gpu
@pytest.mark.parametrize(("place", "kind"), [("card", "cuda"), ("system", "cpu")])
def test_a_pause_frees_the_card_and_takes_it_again(place: str, kind: str) -> None:
    part = MadePart("unet.w", torch.nn.Parameter(torch.randn(5, device="cuda")))
    averages = Averages([part], decay=0.9, place=place)
    before = averages.values()["unet.w"].cpu()
    averages.to(torch.device("cpu"))
    assert averages.values()["unet.w"].device.type == "cpu"
    averages.to(torch.device("cuda"))
    assert averages.values()["unet.w"].device.type == kind
    assert torch.equal(averages.values()["unet.w"].cpu(), before)
