"""`merge`, `extract`, `resize` and `compare` as they are called."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.cli.compare import parse_strengths
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.lora import read_adapter
from lib_dreambooth.formats.safetensors_write import write_safetensors
from tests.cli.said import data, text

KEY = "model.diffusion_model.middle_block.1.proj_in.weight"
NAME = "lora_unet_middle_block_1_proj_in"


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    with open_tensors(MINI_CHECKPOINT) as file:
        width = file.shape(KEY)[0]
    parts = {
        f"{NAME}.lora_down.weight": torch.randn((4, width, 1, 1), generator=torch.Generator().manual_seed(1)),
        f"{NAME}.lora_up.weight": torch.randn((width, 4, 1, 1), generator=torch.Generator().manual_seed(2)),
        f"{NAME}.alpha": torch.tensor(4.0),
    }
    path = tmp_path / "style.safetensors"
    write_safetensors(path, parts)
    return path


@pytest.mark.slow
def test_merge(lora: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "merged.safetensors"
    said = data("merge", str(MINI_CHECKPOINT), "--lora", f"{lora}:0.5", "--to", str(target))
    assert (said["paths"][0], said["changed"], said["warnings"]) == (str(target), 1, [])
    with open_tensors(target) as after, open_tensors(MINI_CHECKPOINT) as before:
        assert not torch.equal(after.read(KEY), before.read(KEY))
    out = tmp_path / "extracted.safetensors"
    said = data("extract", str(MINI_CHECKPOINT), str(target), "--to", str(out), "--rank", "4")
    assert said["ranks"] == {"4": 1} and said["lost"] < 0.01
    assert len(read_adapter(out).modules) == 1
    _, told = text("merge", str(MINI_CHECKPOINT), "--lora", str(lora), "--to", str(target), code=2)
    assert "is there already" in told
    said = data("merge", str(MINI_CHECKPOINT), "--lora", str(lora), "--to", str(target), "--replace")
    assert said["changed"] == 1


def test_resize(lora: Path, tmp_path: Path) -> None:
    target = tmp_path / "small.safetensors"
    said, _ = text("resize", str(lora), "--to", str(target), "--rank", "2")
    assert "1 layers of rank 2" in said and str(target) in said
    assert {one.rank for one in read_adapter(target).modules.values()} == {2}
    said = data("resize", str(lora), "--to", str(target), "--keep", "0.99", "--replace")
    assert said["ranks"] == {"4": 1} and said["lost"] < 0.01
    _, told = text("resize", str(lora), "--to", str(target), "--replace", code=2)
    assert "Choose 1 or more" in told


@pytest.mark.slow
def test_compare(lora: Path, tmp_path: Path) -> None:
    words = (
        "--prompt",
        "a red circle",
        "--strengths",
        "0,1",
        "--steps",
        "1",
        "--size",
        "64",
        "--device",
        "cpu",
    )
    said = data("compare", str(lora), "--base", "mini", "--out", str(tmp_path / "out"), *words)
    assert Path(said["picture"]).is_file()
    assert (said["files"], said["strengths"]) == ([str(lora)], [0.0, 1.0])


def test_strengths() -> None:
    assert parse_strengths("0, .5,-1,") == (0.0, 0.5, -1.0)
    with pytest.raises(UserError, match="no strengths"):
        parse_strengths("a,b")
