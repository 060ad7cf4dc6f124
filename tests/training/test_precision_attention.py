from __future__ import annotations

from typing import Any

import pytest
import torch

from lib_dreambooth.base.errors import MissingPackage, UserError
from lib_dreambooth.models.read import read_model
from lib_dreambooth.training.precision import attention as module
from lib_dreambooth.training.precision.attention import attention, chosen
from tests.models.tiny import tiny_sd1


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read_model(tiny_sd1(tmp_path_factory.mktemp("checkpoint"))).unet


def kinds(unet: Any) -> list[str]:
    return [one.kind for one in unet.attentions]


def test_auto_is_pytorchs_own() -> None:
    assert [chosen(setting) for setting in ("auto", "sdpa", "sliced")] == ["sdpa", "sdpa", "sliced"]


def test_xformers_that_is_not_here_gets_a_sentence(monkeypatch: pytest.MonkeyPatch, unet: Any) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    before = kinds(unet)
    with pytest.raises(MissingPackage, match="xFormers is not installed") as caught:
        with attention(unet, "xformers"):
            pass
    assert caught.value.where == "memory.attention"
    assert kinds(unet) == before


def test_xformers_that_does_not_work_gets_a_sentence(monkeypatch: pytest.MonkeyPatch, unet: Any) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: object())
    before = kinds(unet)

    def broken(*_: Any) -> None:
        raise NotImplementedError("no operator found for this card")

    monkeypatch.setattr(module, "by_xformers", broken)
    with pytest.raises(UserError, match="does not work here: no operator found"):
        with attention(unet, "xformers"):
            pass
    assert kinds(unet) == before


@pytest.mark.parametrize(("setting", "kind"), [("auto", "sdpa"), ("sdpa", "sdpa"), ("sliced", "sliced")])
def test_the_choice_is_in_force_inside_and_gone_after(unet: Any, setting: str, kind: str) -> None:
    before = kinds(unet)
    with attention(unet, setting):
        assert set(kinds(unet)) == {kind} and len(kinds(unet)) == len(before)
    assert kinds(unet) == before


def test_it_is_gone_after_an_exception(unet: Any) -> None:
    before = kinds(unet)
    with pytest.raises(RuntimeError, match="stop"), attention(unet, "sliced"):
        raise RuntimeError("stop")
    assert kinds(unet) == before


def test_every_choice_gives_the_same_picture(unet: Any) -> None:
    random = torch.Generator().manual_seed(5)
    noisy, states = torch.randn(2, 4, 8, 8, generator=random), torch.randn(2, 77, 64, generator=random)
    answers = {}
    for setting in ("auto", "sdpa", "sliced"):
        with attention(unet, setting), torch.no_grad():
            answers[setting] = unet(noisy, torch.tensor([3, 500]), states).sample
    assert torch.equal(answers["auto"], answers["sdpa"])
    assert torch.allclose(answers["sliced"], answers["sdpa"], rtol=1e-4, atol=1e-4)
