"""LoRA files added to the base."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch

from lib_dreambooth.adapters.lora import attach_file
from lib_dreambooth.adapters.merging import Merge, merge_files, parse_merge
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.keymap import UNET
from lib_dreambooth.formats.lora import read_adapter, write_adapter
from lib_dreambooth.models.loaded import LoadedModel
from tests.adapters.conftest import as_if_trained, attached_to, outputs


@pytest.mark.parametrize(
    ("entry", "path", "weight"),
    [
        ("style.safetensors", "style.safetensors", 1.0),
        ("style.safetensors:0.5", "style.safetensors", 0.5),
        ("style.safetensors:-1", "style.safetensors", -1.0),
        (r"C:\lora\style.safetensors", r"C:\lora\style.safetensors", 1.0),
        (r"C:\lora\style.safetensors:.25", r"C:\lora\style.safetensors", 0.25),
        (" a b.safetensors:2 ", "a b.safetensors", 2.0),
        ("odd:name.safetensors", "odd:name.safetensors", 1.0),
        ("odd:", "odd:", 1.0),
    ],
)
def test_entries(entry: str, path: str, weight: float) -> None:
    assert parse_merge(entry) == Merge(Path(path), weight)


@pytest.fixture(scope="module")
def files(sd1: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A LoCon with norms, and a plain LoRA for some of the same layers."""
    paths = []
    for number, network in enumerate(({"conv_rank": 2, "train_norms": True}, {"rank": 2})):
        attached = attached_to(sd1, network=network)
        as_if_trained(attached, seed=number)
        attached.eject()
        path = tmp_path_factory.mktemp("lora") / f"{number}.safetensors"
        names = names_of(sd1.source.kind)
        write_adapter(path, attached.export(), names, metadata={"ss_base_model_version": "sd_v1"})
        paths.append(path)
    return paths


@pytest.mark.slow
def test_merging_equals_applying(sd1: LoadedModel, files: list[Path]) -> None:
    names = names_of(sd1.source.kind)
    merged = dataclasses.replace(sd1, modules=copy.deepcopy(sd1.modules))
    entries = [f"{files[0]}:0.5", str(files[1])]
    count = merge_files(entries, merged.modules, names, "sd1")
    attached = [
        attach_file(read_adapter(path), sd1.modules, names, "sd1", unet_strength=weight, text_strength=weight)
        for path, weight in zip(files, (0.5, 1.0), strict=True)
    ]
    expected = outputs(sd1)
    for each in attached:
        each.eject()
    assert count > 100
    for ours, theirs in zip(outputs(merged), expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(outputs(sd1)[0], expected[0], atol=0.05)


def test_half_precision_is_rounded_once(sd1: LoadedModel, files: list[Path]) -> None:
    path = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    roots = {UNET: copy.deepcopy(sd1.unet).half()}
    names = names_of(sd1.source.kind)
    before = roots[UNET].get_submodule(path).weight.detach().clone()
    merge_files([str(files[1])] * 3, roots, names, "sd1")
    attached = attach_file(read_adapter(files[1]), {UNET: sd1.unet}, names, "sd1")
    attached.eject()
    [change] = [low.weight() for target, low in attached.adapters.items() if target.path == path]
    expected = (before.float() + change + change + change).half()
    assert torch.equal(roots[UNET].get_submodule(path).weight, expected)


def test_a_bad_file_changes_nothing(sd1: LoadedModel, files: list[Path], tmp_path: Path) -> None:
    names = names_of(sd1.source.kind)
    before = outputs(sd1)
    with pytest.raises(FileError, match="missing"):
        merge_files([str(files[0]), str(tmp_path / "missing.safetensors")], sd1.modules, names, "sd1")
    with pytest.raises(FileError, match="LoRA for Stable Diffusion 1, and the model is of SDXL"):
        merge_files([str(files[0])], sd1.modules, names, "sdxl")
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(outputs(sd1), before, strict=True))
    assert merge_files([], sd1.modules, names, "sd1") == 0
