from __future__ import annotations

import pytest
import torch

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.training.precision import devices
from lib_dreambooth.training.precision.devices import Ability, ability_of, choose_device, computes_in

CPU = torch.device("cpu")


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.usefixtures("two_cards")
@pytest.mark.parametrize(
    ("setting", "of_host", "chosen"),
    [
        ("auto", "cuda:1", "cuda:1"),
        ("auto", torch.device("cpu"), "cpu"),
        ("auto", None, "cuda"),
        ("cuda", "cuda:1", "cuda:1"),
        ("cuda", "cpu", "cuda"),
        ("cuda:0", "cuda:1", "cuda:0"),
        (" CPU ", "cuda:1", "cpu"),
    ],
)
def test_auto_is_the_hosts_device(setting: str, of_host: torch.device | str | None, chosen: str) -> None:
    assert choose_device(setting, of_host) == torch.device(chosen)


@pytest.mark.usefixtures("two_cards")
def test_a_card_that_is_not_there_names_the_last() -> None:
    with pytest.raises(UserError, match="there is no cuda:2 here") as caught:
        choose_device("cuda:2")
    assert caught.value.todo == "The last one is cuda:1."


def test_no_card_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UserError, match="finds no NVIDIA or ROCm card"):
        choose_device("cuda")


@pytest.mark.parametrize("of_host", ["privateuseone:0", "dml", "directml:1"])
def test_directml_gets_a_sentence(of_host: str) -> None:
    with pytest.raises(UserError, match="DirectML cannot train") as caught:
        choose_device("auto", of_host)
    assert caught.value.where == "memory.device"


@pytest.mark.parametrize("setting", ["gpu", "cuda:", "cuda:one", "cuda:-1", ""])
def test_a_device_that_is_none(setting: str) -> None:
    with pytest.raises(UserError, match=f'"{setting}" is no device'):
        choose_device(setting)


def test_a_device_of_the_host_that_cannot_train_is_named() -> None:
    with pytest.raises(UserError, match='"xpu" is no device'):
        choose_device("auto", "xpu")


def test_a_cpu_is_asked_what_it_can_do() -> None:
    ability = ability_of(CPU)
    assert ability == Ability("cpu", 0, computes_in(CPU, torch.float16), True)
    assert not ability.is_fast_in_bf16


def test_autocast_that_does_nothing_is_no_ability(monkeypatch: pytest.MonkeyPatch) -> None:
    assert computes_in(CPU, torch.bfloat16)
    autocast = torch.autocast
    monkeypatch.setattr(
        devices.torch, "autocast", lambda kind, dtype: autocast(kind, dtype=dtype, enabled=False)
    )
    assert not computes_in(CPU, torch.bfloat16)


def test_a_device_without_autocast_has_no_half(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(kind: str, dtype: torch.dtype) -> None:
        raise RuntimeError("User specified an unsupported autocast device_type")

    monkeypatch.setattr(devices.torch, "autocast", unsupported)
    assert not computes_in(CPU, torch.bfloat16)


@pytest.mark.parametrize(("generation", "is_fast"), [(7, False), (8, True), (12, True)])
def test_generations_of_cards(generation: int, is_fast: bool) -> None:
    assert Ability("cuda", generation, True).is_fast_in_bf16 is is_fast


def test_what_a_device_can_is_the_same_wherever_it_is_asked() -> None:
    with torch.no_grad():
        assert computes_in(CPU, torch.bfloat16)
    with torch.inference_mode():
        assert computes_in(CPU, torch.bfloat16)
