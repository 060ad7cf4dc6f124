"""LoRA of fewer ranks: the best change there is, and the same where nothing has to go."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.adapters.changes import low_rank_product
from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.lora import AdapterModule, read_adapter
from lib_dreambooth.formats.safetensors_write import write_safetensors
from lib_dreambooth.tools.names import kohya_name
from lib_dreambooth.tools.resize import Size, resize, smaller
from lib_dreambooth.tools.spectrum import FROBENIUS, RATIO, SUM, rank_for
from tests.tools.conftest import Making

LINEAR, CONV = ((24, 5), (5, 16)), ((24, 5, 1, 1), (5, 16, 3, 3))


def module(shapes: tuple[tuple[int, ...], tuple[int, ...]] = LINEAR, alpha: float = 2.0) -> AdapterModule:
    generator = torch.Generator().manual_seed(3)
    up, down = (torch.randn(shape, generator=generator) for shape in shapes)
    # Singular values that differ.
    down = down * torch.tensor([8.0, 4, 2, 1, 0.5]).reshape(-1, *(1 for _ in down.shape[1:]))
    return AdapterModule({"lora_up": up, "lora_down": down}, alpha)


def change(of: AdapterModule) -> torch.Tensor:
    return low_rank_product(of.parts["lora_up"], of.parts["lora_down"], of.parts.get("lora_mid")) * of.scale


@pytest.mark.parametrize("shapes", [LINEAR, CONV])
@pytest.mark.parametrize("rank", [1, 3, 4])
def test_the_change_is_the_best_of_its_rank(
    shapes: tuple[tuple[int, ...], tuple[int, ...]], rank: int
) -> None:
    before = module(shapes)
    after, lost = smaller(before, Size(rank=rank))
    whole = change(before).flatten(1).double()
    first, values, last = torch.linalg.svd(whole, full_matrices=False)
    best = first[:, :rank] * values[:rank] @ last[:rank]
    assert torch.allclose(change(after).flatten(1).double(), best, atol=1e-5)
    assert lost == pytest.approx(float(1 - best.norm() / whole.norm()), abs=1e-6)
    assert after.rank == rank
    assert after.scale == pytest.approx(before.scale)
    assert after.parts["lora_down"].shape[1:] == before.parts["lora_down"].shape[1:]
    assert after.parts["lora_up"].shape[2:] == before.parts["lora_up"].shape[2:]


@pytest.mark.parametrize("shapes", [LINEAR, CONV])
@pytest.mark.parametrize("rank", [5, 64])
def test_at_its_own_rank_nothing_changes(shapes: tuple[tuple[int, ...], tuple[int, ...]], rank: int) -> None:
    before = module(shapes)
    after, lost = smaller(before, Size(rank=rank))
    assert torch.allclose(change(after), change(before), atol=1e-5)
    assert after.rank == 5
    assert lost < 1e-6


def test_tuckers_form_becomes_plain() -> None:
    before = module(((24, 5, 1, 1), (5, 16, 1, 1)))
    mid = torch.randn((5, 5, 3, 3), generator=torch.Generator().manual_seed(1))
    tucker = AdapterModule({**before.parts, "lora_mid": mid}, 2.0)
    # The three matrices make more ranks than five.
    after, lost = smaller(tucker, Size(rank=24))
    assert set(after.parts) == {"lora_up", "lora_down"}
    assert torch.allclose(change(after), change(tucker) / tucker.scale * after.scale, atol=1e-3)
    assert lost < 1e-5


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=12), st.floats(0.05, 1.0))
def test_the_smallest_rank_that_keeps_a_share(found: list[float], share: float) -> None:
    values = torch.tensor(sorted(found, reverse=True), dtype=torch.float64)
    for of, weights, wanted in ((SUM, values, share), (FROBENIUS, values.square(), share**2)):
        rank = rank_for(values, share, of)
        total = float(weights.sum())
        assert 1 <= rank <= len(values)
        assert float(weights[:rank].sum()) >= wanted * total * (1 - 1e-6)
        assert rank == 1 or float(weights[: rank - 1].sum()) < wanted * total
    ratio = rank_for(values, 1 / share, RATIO)
    assert ratio == max(1, sum(one >= max(found) * share for one in found) if max(found) else 1)


def test_a_file_with_its_metadata(made: Making, tmp_path: Path) -> None:
    told = {
        "ss_network_dim": "6",
        "ss_network_alpha": "3",
        "ss_network_args": '{"conv_dim": "4", "conv_alpha": "1", "preset": "x"}',
        "ss_tag_frequency": "{}",
    }
    source = made("big", told, rank=6, alpha=3.0, conv_rank=4, include=["unet.mid*", "unet.down_blocks.0.*"])
    target = tmp_path / "small.safetensors"
    done = resize(source, target, Size(rank=2))
    before, after = read_adapter(source), read_adapter(target)
    assert before.modules.keys() == after.modules.keys()
    assert {one.rank for one in after.modules.values()} == {2}
    assert done.ranks == {2: len(after.modules)}
    assert done.num_bytes == target.stat().st_size < source.stat().st_size
    assert after.metadata["ss_network_dim"] == "2"
    assert after.metadata["ss_tag_frequency"] == "{}"
    assert '"conv_dim": "2"' in after.metadata["ss_network_args"]
    assert after.metadata["ss_training_comment"] == "resized to rank 2"
    assert after.metadata["sshs_model_hash"] != before.metadata["sshs_model_hash"]
    for name, one in before.modules.items():
        best, _ = smaller(one, Size(rank=2))
        assert torch.allclose(change(after.modules[name]), change(best), atol=1e-6)


def test_each_layer_gets_the_rank_that_it_needs(made: Making, tmp_path: Path) -> None:
    source = made(rank=6, include=["unet.mid*"])
    done = resize(source, tmp_path / "share.safetensors", Size(rank=5, share=0.8))
    assert len(done.ranks) > 1 and max(done.ranks) <= 5
    assert 0 < done.lost < 0.6
    # No more goes than was allowed to, but where the rank is the limit.
    alone = resize(source, tmp_path / "alone.safetensors", Size(share=0.8))
    assert 0 < alone.lost <= 0.2
    assert read_adapter(tmp_path / "share.safetensors").metadata["ss_network_dim"] == "Dynamic"


def test_other_kinds_stay_and_words_too(made: Making, tmp_path: Path) -> None:
    source = made(rank=4, include=["unet.mid*"], train_norms=True)
    with open_tensors(source) as file:
        tensors = file.read_all()
    word = "bundle_emb.riho.string_to_param.*"
    write_safetensors(source, {**tensors, word: torch.ones(2, 64)})
    done = resize(source, tmp_path / "out.safetensors", Size(rank=1))
    with open_tensors(tmp_path / "out.safetensors") as file:
        found = file.read_all()
    assert found.keys() == {*tensors, word}
    norms = [key for key in tensors if key.endswith(("w_norm", "b_norm"))]
    assert norms and all(torch.equal(found[key], tensors[key]) for key in norms)
    assert done.num_kept == len(norms) // 2


@pytest.mark.parametrize(
    ("network", "told"), [({"kind": "loha"}, "loha"), ({"decompose": True}, "DoRA"), ({"kind": "ia3"}, "ia3")]
)
def test_kinds_without_ranks_to_take(
    made: Making, tmp_path: Path, network: dict[str, object], told: str
) -> None:
    source = made(**network, include=["unet.mid*"])
    with pytest.raises(FileError, match=told):
        resize(source, tmp_path / "out.safetensors", Size(rank=1))
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    "size",
    [Size(), Size(rank=-1), Size(share=1.5), Size(share=-0.1), Size(share=0.5, of=RATIO), Size(1, of="x")],
)
def test_sizes_that_mean_nothing(size: Size) -> None:
    with pytest.raises(UserError) as caught:
        size.check()
    assert caught.value.todo


@pytest.mark.parametrize(
    ("name", "family", "expected"),
    [
        ("lora_unet_mid_block_attentions_0_proj_in", "sd1", "lora_unet_mid_block_attentions_0_proj_in"),
        ("unet.mid_block.attentions.0.proj_in", "sd1", "lora_unet_mid_block_attentions_0_proj_in"),
        ("base_model.model.mid_block.proj_in", "sd1", "lora_unet_mid_block_proj_in"),
        ("text_encoder.encoder.layers.0.mlp.fc1", "sd1", "lora_te_text_model_encoder_layers_0_mlp_fc1"),
        ("text_encoder.text_model.encoder.x", "sdxl", "lora_te1_text_model_encoder_x"),
        ("text_encoder_2.text_model.encoder.x", "sdxl", "lora_te2_text_model_encoder_x"),
        ("text_encoder_2.text_model.encoder.x", "sd1", "text_encoder_2.text_model.encoder.x"),
    ],
)
def test_names_of_other_tools(name: str, family: str, expected: str) -> None:
    assert kohya_name(name, family) == expected
