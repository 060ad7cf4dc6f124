"""A checkpoint with LoRA files in it is the base with them beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lib_dreambooth.adapters.lora import attach_file
from lib_dreambooth.adapters.merging import Merge
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.adapter_names import Target, names_of
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.keymap import TEXT, UNET
from lib_dreambooth.formats.lora import read_adapter
from lib_dreambooth.formats.safetensors_write import write_safetensors
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.tools.merge import merge
from tests.adapters.conftest import outputs
from tests.adapters.variants import KINDS, few
from tests.tools.conftest import Making

PLACE = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
KEY = "model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight"


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    with open_tensors(path) as file:
        return file.read_all()


@pytest.mark.slow
def test_the_result_says_what_the_base_with_the_files_says(
    base: Path, model: LoadedModel, made: Making, tmp_path: Path
) -> None:
    files = [made("one", conv_rank=2, train_norms=True), made("other", kind="lokr", rank=2)]
    target = tmp_path / "merged.safetensors"
    done = merge(base, [Merge(files[0], 0.5), Merge(files[1], -0.7)], target)
    names = names_of(model.source.kind)
    attached = [
        attach_file(
            read_adapter(path), model.modules, names, "sd1", unet_strength=weight, text_strength=weight
        )
        for path, weight in zip(files, (0.5, -0.7), strict=True)
    ]
    expected = outputs(model)
    for each in attached:
        each.eject()
    for ours, theirs in zip(outputs(read_model(target, parts=(UNET, TEXT))), expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(outputs(model)[0], expected[0], atol=0.05)
    assert done.num_changed > 100
    before, after = tensors_of(base), tensors_of(target)
    assert before.keys() == after.keys()
    assert sum(not torch.equal(before[key], after[key]) for key in before) == done.num_changed


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_changes_a_weight_by_what_it_stands_for(
    base: Path, model: LoadedModel, made: Making, tmp_path: Path, kind: str
) -> None:
    path = made(**few(kind))
    merge(base, [Merge(path, 0.5)], tmp_path / "merged.safetensors")
    attached = attach_file(read_adapter(path), {UNET: model.unet}, names_of(model.source.kind), "sd1")
    layer = model.unet.get_submodule(PLACE)
    changes = attached.adapters[Target(UNET, PLACE)].changes(layer)
    attached.eject()
    if "weight" not in changes:
        return
    with open_tensors(tmp_path / "merged.safetensors") as file:
        found = file.read(KEY)
    expected = layer.weight.detach() + 0.5 * changes["weight"]().detach()
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(found, layer.weight)


@pytest.mark.slow
def test_half_precision_is_rounded_once(base: Path, model: LoadedModel, made: Making, tmp_path: Path) -> None:
    half = {key: tensor.half() for key, tensor in tensors_of(base).items()}
    write_safetensors(tmp_path / "half.safetensors", half)
    path = made(rank=2, include=["unet.mid*"])
    merge(tmp_path / "half.safetensors", [Merge(path)] * 3, tmp_path / "out.safetensors")
    placed, _ = read_adapter(path).placed(names_of(model.source.kind))
    module = placed[Target(UNET, PLACE)]
    change = module.parts["lora_up"] @ module.parts["lora_down"] * module.scale
    found = tensors_of(tmp_path / "out.safetensors")
    assert torch.equal(found[KEY], (half[KEY].float() + change + change + change).half())
    others = [key for key in half if "middle_block" not in key]
    assert all(torch.equal(found[key], half[key]) for key in others)


def test_the_recipe_stands_in_the_file(base: Path, made: Making, tmp_path: Path) -> None:
    write_safetensors(
        tmp_path / "titled.safetensors",
        tensors_of(base),
        {"modelspec.title": "old", "modelspec.hash_sha256": "0x1", "note": "kept"},
    )
    path = made("style", include=["unet.mid*"])
    target = tmp_path / "new.safetensors"
    said: list[tuple[int, int]] = []
    done = merge(
        tmp_path / "titled.safetensors", [Merge(path, 0.8)], target, tell=lambda a, b: said.append((a, b))
    )
    with open_tensors(target) as file:
        metadata = file.metadata
    assert json.loads(metadata["sd_merge_recipe"]) == {
        "type": "sd-webui-dreambooth",
        "base": "titled.safetensors",
        "loras": [{"name": "style", "weight": 0.8}],
    }
    assert metadata["modelspec.merged_from"] == "titled, style"
    assert (metadata["modelspec.title"], metadata["note"]) == ("new", "kept")
    assert "modelspec.hash_sha256" not in metadata
    assert said == [(number, done.num_changed) for number in range(1, done.num_changed + 1)]


def test_averages_go_and_words_are_told_of(base: Path, made: Making, tmp_path: Path) -> None:
    tensors = tensors_of(base)
    average = "model_ema." + KEY.removeprefix("model.").replace(".", "")
    write_safetensors(tmp_path / "ema.safetensors", {**tensors, average: tensors[KEY]})
    path = made("bundle", include=["unet.mid*"])
    write_safetensors(path, {**tensors_of(path), "bundle_emb.riho.string_to_param.*": torch.ones(2, 64)})
    done = merge(tmp_path / "ema.safetensors", [Merge(path)], tmp_path / "out.safetensors")
    assert average not in tensors_of(tmp_path / "out.safetensors")
    assert any("riho" in warning for warning in done.warnings)


@pytest.mark.parametrize("target", ["base", "lora", "taken.safetensors", "old.ckpt", "folder"])
def test_targets_that_are_refused(base: Path, made: Making, tmp_path: Path, target: str) -> None:
    path = made(include=["unet.mid*"])
    (tmp_path / "taken.safetensors").write_bytes(b"mine")
    named = {"base": base, "lora": path}.get(target, tmp_path / target)
    with pytest.raises(FileError) as caught:
        merge(base, [Merge(path)], named)
    assert caught.value.where == str(named)
    assert (tmp_path / "taken.safetensors").read_bytes() == b"mine"


def test_what_does_not_fit_writes_nothing(base: Path, made: Making, tmp_path: Path) -> None:
    path = made(include=["unet.mid*"])
    target = tmp_path / "out.safetensors"
    large = {key: tensor * 1e6 for key, tensor in tensors_of(path).items()}
    write_safetensors(tmp_path / "large.safetensors", large)
    with pytest.raises(FileError, match="too large for float16"):
        merge(base, [Merge(tmp_path / "large.safetensors")], target, precision="fp16")
    write_safetensors(
        tmp_path / "xl.safetensors", tensors_of(path), {"ss_base_model_version": "sdxl_base_v1-0"}
    )
    with pytest.raises(FileError):
        merge(base, [Merge(path), Merge(tmp_path / "xl.safetensors")], target)
    with pytest.raises(FileError, match="a checkpoint is needed"):
        merge(path, [Merge(path)], target)
    assert not target.exists()
    assert list(tmp_path.glob(".*.tmp")) == []
