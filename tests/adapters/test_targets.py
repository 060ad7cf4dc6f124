"""kohya's lists of modules, on the real sizes of the families."""

from __future__ import annotations

import pytest

from lib_dreambooth.adapters.targets import attention_targets, convolution_targets, is_pointwise
from lib_dreambooth.formats.adapter_names import AdapterNames
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET
from tests.adapters.real_sizes import NAMES


def count(names: AdapterNames, *parts: str) -> int:
    return sum(target.part in parts for target in attention_targets(names))


@pytest.mark.parametrize(
    ("family", "in_unet", "with_convolutions", "in_text"),
    [("sd1", 192, 278, 72), ("sd2", 192, 278, 138), ("sdxl", 722, 788, 264)],
)
def test_as_many_modules_as_kohya(family: str, in_unet: int, with_convolutions: int, in_text: int) -> None:
    names = NAMES[family]
    assert count(names, UNET) == in_unet
    assert in_unet + len(convolution_targets(names)) == with_convolutions
    assert count(names, TEXT, TEXT_2) == in_text
    assert not set(attention_targets(names)) & set(convolution_targets(names))


@pytest.mark.parametrize(
    ("family", "in_unet", "in_all"),
    # In float16 and at rank 128 the files are of 144 MiB (SD1) and 870 MiB (SDXL).
    [("sd1", 423_936, 589_824), ("sdxl", 2_659_840, 3_563_008)],
)
def test_as_many_numbers_per_rank_as_kohya(family: str, in_unet: int, in_all: int) -> None:
    names = NAMES[family]
    sizes = {target: sum(names.shapes[target][:2]) for target in attention_targets(names)}
    assert sum(size for target, size in sizes.items() if target.part == UNET) == in_unet
    assert sum(sizes.values()) == in_all


def test_written_names_are_kohya_s() -> None:
    written = {NAMES["sd1"].written[target] for target in attention_targets(NAMES["sd1"])}
    assert "lora_unet_down_blocks_0_attentions_0_proj_in" in written
    assert "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_0_proj" in written
    assert "lora_te_text_model_encoder_layers_11_self_attn_out_proj" in written
    xl = NAMES["sdxl"]
    written = {xl.written[target] for target in [*attention_targets(xl), *convolution_targets(xl)]}
    assert "lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_out_0" in written
    assert "lora_unet_output_blocks_2_2_conv" in written
    assert "lora_unet_input_blocks_1_0_emb_layers_1" in written
    assert "lora_te2_text_model_encoder_layers_31_mlp_fc2" in written


def test_pointwise() -> None:
    assert is_pointwise((4, 3)) and is_pointwise((4, 3, 1, 1))
    assert not is_pointwise((4, 3, 3, 3)) and not is_pointwise((4,))
