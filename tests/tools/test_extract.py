"""What was merged into a checkpoint comes out of it again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_dreambooth.adapters.merging import Merge
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.lora import AdapterModule, read_adapter
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.tools.extract import extract, module_of
from lib_dreambooth.tools.merge import merge
from lib_dreambooth.tools.resize import Size
from lib_dreambooth.tools.spectrum import leading, of_matrix
from tests.tools.conftest import Making

FEW = ["unet.mid*", "unet.down_blocks.0.downsamplers*", "text_encoder.*.layers.1.*"]


def product(module: AdapterModule) -> torch.Tensor:
    up, down = module.parts["lora_up"].flatten(1), module.parts["lora_down"].flatten(1)
    return (up @ down) * module.scale


@pytest.mark.slow
def test_what_went_in_comes_out(base: Path, model: LoadedModel, made: Making, tmp_path: Path) -> None:
    lora = made(rank=3, conv_rank=2, include=FEW)
    merge(base, [Merge(lora)], tmp_path / "tuned.safetensors")
    target = tmp_path / "out.safetensors"
    done = extract(base, tmp_path / "tuned.safetensors", target, Size(rank=3, conv_rank=3), precision="fp32")
    names = names_of(model.source.kind)
    before, _ = read_adapter(lora).placed(names)
    after, unknown = read_adapter(target).placed(names)
    assert not unknown and before.keys() == after.keys()
    for layer, module in before.items():
        assert torch.allclose(product(after[layer]), product(module), atol=2e-5), layer
    assert done.lost < 1e-3 and done.num_same > 0
    assert set(done.ranks) == {3}
    shared = extract(
        base, tmp_path / "tuned.safetensors", tmp_path / "s.safetensors", Size(share=0.99, conv_rank=8)
    )
    assert max(shared.ranks) <= 3 and shared.lost <= 0.01


def test_the_same_checkpoint_twice(base: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(base.read_bytes())
    with pytest.raises(FileError, match="does not differ"):
        extract(base, copy, tmp_path / "out.safetensors", Size(rank=2))
    assert not (tmp_path / "out.safetensors").exists()


def test_directions_by_chance_find_what_counts() -> None:
    generator = torch.Generator().manual_seed(1)
    noise = 0.01 * torch.randn((200, 300), generator=generator)
    matrix = torch.randn((200, 6), generator=generator) @ torch.randn((6, 300), generator=generator) + noise
    state = torch.random.get_rng_state()
    fast, whole = leading(matrix, 6), of_matrix(matrix)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.allclose(fast.values[:6], whole.values[:6], rtol=1e-4)
    first, second = (found.cut(6) for found in (fast, whole))
    assert torch.allclose(first[0] @ first[1], second[0] @ second[1], atol=1e-3)


def test_convolutions_keep_their_kernel() -> None:
    change = torch.randn((8, 4, 3, 3), generator=torch.Generator().manual_seed(2))
    found = module_of(change, Size(rank=2, conv_rank=5))
    assert found is not None
    module, lost = found
    assert module.parts["lora_down"].shape == (5, 4, 3, 3) and module.parts["lora_up"].shape == (8, 5, 1, 1)
    assert 0 < lost < 1
    assert module_of(torch.zeros(4, 4), Size(rank=2)) is None
