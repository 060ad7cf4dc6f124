"""Which layers get a network with which rank, alpha and rate, on the real sizes of the families."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_dreambooth.adapters.blocks import block_numbers, num_blocks
from lib_dreambooth.adapters.patterns import fits, is_meant
from lib_dreambooth.adapters.planning import Ground, Planned, plan_network, plus_ratio, trained_parts
from lib_dreambooth.adapters.targets import attention_targets
from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.formats.adapter_names import Target
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET
from tests.adapters.conftest import run_of
from tests.adapters.real_sizes import NAMES

EVERY = (UNET, TEXT, TEXT_2)
TO_Q = Target(UNET, "mid_block.attentions.0.transformer_blocks.0.attn1.to_q")
CONV1 = Target(UNET, "down_blocks.0.resnets.0.conv1")
EMB = Target(UNET, "down_blocks.0.resnets.0.time_emb_proj")
FC1 = Target(TEXT, "text_model.encoder.layers.3.mlp.fc1")


XL = {"text_encoder_2": {"train": True}}


def ground(family: str = "sd1", **values: Any) -> Ground:
    run = run_of(**values)
    present = {target.part for target in NAMES[family].shapes}
    return Ground(run, NAMES[family], family, trained_parts(run, present))


def plan(family: str = "sd1", **values: Any) -> dict[Target, Planned]:
    return {planned.target: planned for planned in plan_network(ground(family, **values))}


@pytest.mark.parametrize(
    ("family", "conv_rank", "parts", "expected"),
    [
        ("sd1", 0, {}, {UNET: 192, TEXT: 72}),
        ("sd1", 4, {}, {UNET: 278, TEXT: 72}),
        ("sd1", 4, {"text_encoder_1": {"train": False}}, {UNET: 278}),
        ("sd1", 4, {"unet": {"train": False}}, {TEXT: 72}),
        ("sd2", 0, {}, {UNET: 192, TEXT: 138}),
        ("sdxl", 0, XL, {UNET: 722, TEXT: 72, TEXT_2: 192}),
        ("sdxl", 4, {}, {UNET: 788, TEXT: 72}),
    ],
)
def test_as_many_as_kohya(family: str, conv_rank: int, parts: dict, expected: dict[str, int]) -> None:
    found = plan(family, network={"conv_rank": conv_rank}, parts=parts)
    assert {part: sum(target.part == part for target in found) for part in expected} == expected
    assert len(found) == sum(expected.values())


@pytest.mark.parametrize(
    ("network", "target", "rank", "alpha"),
    [
        ({"rank": 32, "alpha": 16.0}, TO_Q, 32, 16.0),
        ({"rank": 32, "alpha": 0.0}, TO_Q, 32, 32.0),
        ({"rank": 32, "alpha": 16.0, "text_rank": 8}, FC1, 8, 4.0),
        ({"rank": 32, "alpha": 0.0, "text_rank": 8}, FC1, 8, 8.0),
        ({"rank": 32, "alpha": 16.0, "text_rank": 8}, TO_Q, 32, 16.0),
        ({"rank": 32, "alpha": 16.0, "conv_rank": 4}, CONV1, 4, 4.0),
        ({"rank": 32, "alpha": 16.0, "conv_rank": 4, "conv_alpha": 1.0}, CONV1, 4, 1.0),
        ({"rank": 32, "alpha": 16.0, "conv_rank": 4, "conv_alpha": 1.0}, EMB, 32, 16.0),
        ({"rank": 16, "alpha": 8.0, "rank_stabilised": True}, TO_Q, 16, 32.0),
        ({"rank": 16, "alpha": 8.0, "layer_ranks": {"unet.mid*": 4}}, TO_Q, 4, 2.0),
        ({"rank": 16, "alpha": 8.0, "layer_ranks": {"*attn1*": 6, "unet.mid*": 4}}, TO_Q, 6, 3.0),
        ({"rank": 16, "alpha": 8.0, "layer_alphas": {"unet.mid*": 5.0}}, TO_Q, 16, 5.0),
        ({"rank": 16, "alpha": 8.0, "layer_alphas": {"unet.mid*": 0.0}}, TO_Q, 16, 16.0),
        ({"rank": 16, "alpha": 8.0, "block_ranks": [2] * 12 + [3] + [4] * 12}, TO_Q, 3, 8.0),
        (
            {"rank": 16, "alpha": 8.0, "block_ranks": [2] * 25, "block_alphas": [0.5] * 13 + [1.0] * 12},
            TO_Q,
            2,
            0.5,
        ),
        ({"rank": 16, "alpha": 8.0, "block_ranks": [2] * 25}, FC1, 16, 8.0),
        ({"rank": 16, "block_ranks": [2] * 25, "block_conv_ranks": [5] * 25}, CONV1, 5, 5.0),
        (
            {
                "rank": 16,
                "block_ranks": [2] * 25,
                "block_conv_ranks": [5] * 25,
                "block_conv_alphas": [2.5] * 25,
            },
            CONV1,
            5,
            2.5,
        ),
        ({"conv_rank": 4, "block_ranks": [2] * 25}, CONV1, 4, 4.0),
    ],
)  # fmt: skip
def test_rank_and_alpha(network: dict[str, Any], target: Target, rank: int, alpha: float) -> None:
    found = plan(network=network)[target]
    assert (found.rank, found.alpha) == (rank, alpha)


@pytest.mark.parametrize(
    ("network", "unet", "left_out"),
    [
        ({"exclude": ["*.attn1.*"]}, {}, TO_Q),
        ({"exclude": ["mid*"]}, {}, TO_Q),
        ({"exclude": ["lora_unet_mid_*"]}, {}, TO_Q),
        ({"exclude": ["text_encoder_1.encoder.layers.3.*"]}, {}, FC1),
        ({"include": ["text_encoder*"]}, {}, TO_Q),
        ({"include": ["unet.mid*"]}, {}, FC1),
        ({"targets": "attention"}, {}, FC1),
        ({"targets": "cross"}, {}, TO_Q),
        ({"layer_ranks": {"unet.mid*": 0}}, {}, TO_Q),
        ({"block_ranks": [1] * 12 + [0] + [1] * 12}, {}, TO_Q),
        ({}, {"block_rates": [1.0] * 12 + [0.0] + [1.0] * 12}, TO_Q),
        ({}, {"layer_rates": {"mid*": 0.0, "*": 2.0}}, TO_Q),
    ],
)
def test_what_is_left_out(network: dict[str, Any], unet: dict[str, Any], left_out: Target) -> None:
    found = plan(network=network, parts={"unet": unet})
    assert left_out not in found and found
    other = FC1 if left_out == TO_Q else TO_Q
    assert (other in found) == (network.get("targets") != "cross")


def test_attention_alone_and_across() -> None:
    attention, cross = (plan(network={"targets": targets}) for targets in ("attention", "cross"))
    assert len(attention) == 16 * 8 + 12 * 4
    assert len(cross) == 16 * 4 and all(".attn2." in target.path for target in cross)


def test_rates_of_blocks_and_layers_multiply() -> None:
    rates = [float(number + 1) for number in range(25)]
    found = plan(parts={"unet": {"block_rates": rates, "layer_rates": {"*.to_q": 0.5, "unet.mid*": 10.0}}})
    assert found[TO_Q].rate == 13 * 0.5
    assert found[Target(UNET, "mid_block.attentions.0.proj_in")].rate == 13 * 10.0
    assert found[Target(UNET, "down_blocks.0.attentions.1.proj_in")].rate == 3.0
    assert found[FC1].rate == 1.0


@pytest.mark.parametrize(
    ("network", "part", "expected"),
    [
        ({}, UNET, 1.0),
        ({"plus_ratio": 4.0}, TEXT, 4.0),
        ({"plus_ratio": 4.0, "plus_ratio_unet": 16.0}, UNET, 16.0),
        ({"plus_ratio": 4.0, "plus_ratio_unet": 16.0}, TEXT_2, 4.0),
        ({"plus_ratio": 4.0, "plus_ratio_text": 2.0}, TEXT, 2.0),
    ],
)
def test_ratio_of_the_second_half(network: dict[str, Any], part: str, expected: float) -> None:
    assert plus_ratio(run_of(network=network).network, part) == expected


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"network": {"include": ["unet.middle*"]}}, "network.include"),
        ({"network": {"exclude": ["*conv1"]}}, "network.exclude"),
        ({"network": {"layer_ranks": {"Unet.*": 4}}}, "network.layer_ranks"),
        ({"network": {"layer_alphas": {"x": 4.0}}}, "network.layer_alphas"),
        ({"parts": {"unet": {"layer_rates": {"text_encoder*": 4.0}}}}, "parts.unet.layer_rates"),
    ],
)
def test_patterns_that_fit_nothing_are_named(values: dict[str, Any], where: str) -> None:
    with pytest.raises(SettingsError, match=r"no layer that can be trained here is called") as caught:
        plan(**values)
    assert [problem.where for problem in caught.value.problems] == [where]


def test_every_bad_pattern_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        plan(network={"include": ["nothing", "unet*"], "layer_ranks": {"no": 1}})
    assert [problem.where for problem in caught.value.problems] == ["network.include", "network.layer_ranks"]


def test_lists_of_another_family_are_refused() -> None:
    with pytest.raises(UserError, match=r"network.block_ranks: has 25 numbers, and this model has 23 blocks"):
        plan("sdxl", network={"block_ranks": [4] * 25})


def test_numbers_of_blocks_are_kohya_s() -> None:
    found = {}
    for family in ("sd1", "sdxl"):
        numbers = block_numbers(NAMES[family], family)
        found[family] = {
            numbers[target] for target in attention_targets(NAMES[family]) if target.part == UNET
        }
        assert set(numbers.values()) == set(range(num_blocks(family)))
    assert found["sd1"] == {1, 2, 4, 5, 7, 8, 12, *range(16, 25)}
    assert found["sdxl"] == {5, 6, 8, 9, 11, *range(13, 19)}
    sd1 = block_numbers(NAMES["sd1"], "sd1")
    assert sd1[Target(UNET, "down_blocks.1.downsamplers.0.conv")] == 6
    assert sd1[Target(UNET, "up_blocks.1.upsamplers.0.conv")] == 18
    assert sd1[Target(UNET, "conv_in")] == 0 and sd1[Target(UNET, "conv_out")] == 24


TEXTS = st.text("ab.*[(?", max_size=8)


@given(TEXTS, TEXTS, TEXTS)
def test_a_star_is_any_text(head: str, middle: str, tail: str) -> None:
    head, middle, tail = (text.replace("*", "") for text in (head, middle, tail))
    assert fits(f"{head}*{tail}", head + middle + tail)
    assert fits(head, head) and not fits(head, f"{head}x")


@given(TEXTS, st.text("ab.", max_size=8))
def test_patterns_are_read_as_by_hand(pattern: str, name: str) -> None:
    def by_hand(pattern: str, name: str) -> bool:
        if not pattern:
            return not name
        if pattern[0] == "*":
            return by_hand(pattern[1:], name) or (bool(name) and by_hand(pattern, name[1:]))
        return bool(name) and pattern[0] == name[0] and by_hand(pattern[1:], name[1:])

    assert fits(pattern, name) == by_hand(pattern, name)


PATTERNS = st.lists(
    st.sampled_from(["unet*", "*attn1*", "*to_q", "*.2.*", "text_encoder.*", "mid*", "*"]), max_size=3
)


@given(PATTERNS, PATTERNS, st.integers(1, 64), st.integers(1, 64))
def test_selection(include: list[str], exclude: list[str], rank: int, text_rank: int) -> None:
    network = {"include": include, "exclude": exclude, "rank": rank, "text_rank": text_rank, "alpha": 1.0}
    found = plan(network=network)
    names = NAMES["sd1"]

    def is_in(patterns: list[str], target: Target) -> bool:
        return any(is_meant(pattern, target, names) for pattern in patterns)

    expected = {
        target
        for target in attention_targets(names)
        if (not include or is_in(include, target)) and not is_in(exclude, target)
    }
    assert set(found) == expected
    for target, planned in found.items():
        assert planned.rank == (rank if target.part == UNET else text_rank)
        assert planned.alpha / planned.rank == pytest.approx(1.0 / rank)
