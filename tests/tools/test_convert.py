"""One model in every form, there and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.safetensors_write import write_safetensors
from lib_dreambooth.tools.convert import convert


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    with open_tensors(path) as file:
        return file.read_all()


def same(first: Path, second: Path) -> bool:
    ours, theirs = tensors_of(first), tensors_of(second)
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[key], theirs[key]) and ours[key].dtype == theirs[key].dtype for key in ours
    )


def test_a_folder_and_back_gives_the_same_tensors(tmp_path: Path) -> None:
    convert(MINI_CHECKPOINT, tmp_path / "モデル folder")
    convert(tmp_path / "モデル folder", tmp_path / "back.safetensors")
    assert same(MINI_CHECKPOINT, tmp_path / "back.safetensors")


@pytest.mark.slow
def test_what_is_unknown_is_kept(tmp_path: Path) -> None:
    tensors = tensors_of(MINI_CHECKPOINT) | {"merged.by.somebody": torch.arange(5, dtype=torch.int32)}
    write_safetensors(tmp_path / "odd.safetensors", tensors, {"note": "kept"})
    convert(tmp_path / "odd.safetensors", tmp_path / "folder")
    convert(tmp_path / "folder", tmp_path / "back.safetensors")
    assert same(tmp_path / "odd.safetensors", tmp_path / "back.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_precision_changes_weights_by_rounding_alone(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    target = tmp_path / "other.safetensors"
    convert(MINI_CHECKPOINT, target, precision=name)
    before, after = tensors_of(MINI_CHECKPOINT), tensors_of(target)
    assert all(torch.equal(after[key], before[key].to(dtype)) for key in before)


@pytest.mark.parametrize("target", ["same", "old.ckpt", "full"])
def test_targets_that_cannot_be_written_are_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep", encoding="utf-8")
    path = MINI_CHECKPOINT if target == "same" else tmp_path / target
    with pytest.raises(FileError) as caught:
        convert(MINI_CHECKPOINT, path)
    assert caught.value.where == str(path)
    assert caught.value.todo
    assert (tmp_path / "full" / "mine.txt").read_text(encoding="utf-8") == "keep"


def test_a_lora_is_no_model(tmp_path: Path) -> None:
    key = "lora_unet_mid_block_attentions_0_proj_in"
    parts = {f"{key}.lora_down.weight": torch.ones(2, 8), f"{key}.lora_up.weight": torch.ones(8, 2)}
    write_safetensors(tmp_path / "lora.safetensors", parts)
    with pytest.raises(FileError, match="a LoRA"):
        convert(tmp_path / "lora.safetensors", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_what_the_source_lacks_is_said(tmp_path: Path) -> None:
    tensors = {k: t for k, t in tensors_of(MINI_CHECKPOINT).items() if not k.startswith("first_stage_model.")}
    source = tmp_path / "no vae.safetensors"
    write_safetensors(source, tensors)
    assert convert(source, tmp_path / "still none.safetensors").warnings == ("The VAE is missing.",)
    mended = convert(source, tmp_path / "mended.safetensors", vae_path=MINI_CHECKPOINT)
    assert mended.warnings == ()
    assert same(MINI_CHECKPOINT, tmp_path / "mended.safetensors")
