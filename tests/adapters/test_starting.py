"""Going on from a LoRA file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.keymap import TEXT
from lib_dreambooth.formats.lora import write_adapter
from lib_dreambooth.formats.safetensors_write import write_safetensors
from lib_dreambooth.models.loaded import LoadedModel
from tests.adapters.conftest import as_if_trained, attached_to, outputs

SAVED = {"rank": 3, "alpha": 1.5, "conv_rank": 2, "train_norms": True}


@pytest.fixture(scope="module")
def saved(sd1: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """A file, what the model says with it, and its state."""
    attached = attached_to(sd1, network=SAVED)
    as_if_trained(attached)
    said = outputs(sd1)
    attached.eject()
    path = tmp_path_factory.mktemp("lora") / "first.safetensors"
    names = names_of(sd1.source.kind)
    write_adapter(path, attached.export(), names, metadata={"ss_base_model_version": "sd_v1"})
    return path, said, {name: tensor.clone() for name, tensor in attached.state().items()}


def start_from(path: Path, **network: Any) -> dict[str, Any]:
    return {"network": {"start_from": str(path), **network}}


def test_goes_on_with_the_file_s_own_ranks(sd1: LoadedModel, saved: tuple[Path, Any, Any]) -> None:
    path, said, state = saved
    attached = attached_to(sd1, **start_from(path, rank=16, alpha=1.0, train_norms=True))
    found = outputs(sd1)
    attached.eject()
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, said, strict=True))
    assert set(attached.state()) == set(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in attached.state().items())
    assert all(
        part.parameter.dtype == torch.float32 and part.parameter.requires_grad for part in attached.parts()
    )


def test_settings_still_leave_layers_out_and_it_is_said(
    sd1: LoadedModel, saved: tuple[Path, Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    values = start_from(saved[0], exclude=["*attn2*"])
    attached = attached_to(sd1, **values, parts={"text_encoder_1": {"train": False}})
    attached.eject()
    names = {part.name for part in attached.parts()}
    assert names and not any("attn2" in name or "lora_te" in name for name in names)
    assert "are left out by the settings and will not be in the result" in caplog.text


def test_the_same_ranks_by_settings_and_new_layers(sd1: LoadedModel, saved: tuple[Path, Any, Any]) -> None:
    path, said, state = saved
    values = start_from(path, **SAVED, ranks_from_file=False)
    attached = attached_to(sd1, **values)
    found = outputs(sd1)
    attached.eject()
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, said, strict=True))
    assert set(attached.state()) == set(state)


def test_another_alpha_acts_as_before(sd1: LoadedModel, saved: tuple[Path, Any, Any]) -> None:
    path, said, _ = saved
    attached = attached_to(sd1, **start_from(path, **{**SAVED, "alpha": 3.0}, ranks_from_file=False))
    found = outputs(sd1)
    attached.eject()
    assert {a.alpha for t, a in attached.adapters.items() if t.part == TEXT and hasattr(a, "alpha")} == {3.0}
    assert all(torch.allclose(ours, theirs, atol=1e-4) for ours, theirs in zip(found, said, strict=True))


def test_another_rank_is_refused(sd1: LoadedModel, saved: tuple[Path, Any, Any]) -> None:
    with pytest.raises(FileError, match=r"has a rank of 3 for `lora_unet\S+`, and 8 is set. Tick Ranks from"):
        attached_to(sd1, **start_from(saved[0], rank=8, ranks_from_file=False))


def test_another_family_is_refused(sdxl: LoadedModel, saved: tuple[Path, Any, Any]) -> None:
    with pytest.raises(FileError, match=r"LoRA for Stable Diffusion 1, and the model is of SDXL"):
        attached_to(sdxl, **start_from(saved[0]))


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ({"lora_down.weight": torch.ones(4, 768), "lora_up.weight": torch.ones(64, 4)}, "does not fit a we"),
        ({"hada_w1_a": torch.ones(64, 2), "hada_w1_b": torch.ones(2, 64),
          "hada_w2_a": torch.ones(64, 2), "hada_w2_b": torch.ones(2, 64)}, "of kind lora is to be trained"),
    ],
)  # fmt: skip
def test_other_shapes_and_kinds_are_refused(
    sd1: LoadedModel, tensors: dict[str, torch.Tensor], why: str, tmp_path: Path
) -> None:
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_q"
    path = tmp_path / "odd.safetensors"
    write_safetensors(
        path, {f"{name}.{key}": value for key, value in tensors.items()}, {"ss_base_model_version": "sd_v1"}
    )
    with pytest.raises(FileError, match=why):
        attached_to(sd1, **start_from(path))
