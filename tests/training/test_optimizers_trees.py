from __future__ import annotations

import json
from collections import deque
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lib_dreambooth.training.optimizers.trees import NotPlain, from_tree, to_tree

CPU = torch.device("cpu")
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.lists(inner).map(lambda items: deque(items, 3))
    ),
    max_leaves=12,
)


def back(value: Any) -> Any:
    tensors: dict[str, Tensor] = {}
    tree = json.loads(json.dumps(to_tree(value, "x", tensors), allow_nan=False))
    return from_tree(tree, tensors, CPU)


@given(plain)
def test_what_is_plain_comes_back_as_it_was(value: Any) -> None:
    again = back(value)
    assert again == value and type(again) is type(value)


@pytest.mark.parametrize("value", [float("inf"), -0.0, 5e-324, 0.1])
def test_floats_keep_every_bit(value: float) -> None:
    assert back(value).hex() == value.hex()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(3),
        torch.tensor([1.5, float("nan")]),
        torch.randn(3, 4).t(),
        torch.randn(2, 3, 4).to(memory_format=torch.contiguous_format).transpose(0, 2),
        torch.zeros(0, 4, dtype=torch.bfloat16),
        torch.tensor([True, False]),
        torch.arange(4, dtype=torch.uint8),
    ],
)
def test_tensors_keep_bits_type_and_order_in_memory(tensor: Tensor) -> None:
    again = back({"one": [tensor]})["one"][0]
    assert torch.equal(again.nan_to_num(7), tensor.nan_to_num(7)) if tensor.is_floating_point() else True
    assert torch.equal(again.isnan(), tensor.isnan()) and again.dtype == tensor.dtype
    assert again.stride() == tensor.stride() and again.shape == tensor.shape
    assert again is not tensor


def test_tensors_are_copies() -> None:
    tensor = torch.ones(2)
    again = back(tensor)
    again += 1
    assert tensor.tolist() == [1.0, 1.0]


def test_number_types_devices_and_generators_come_back() -> None:
    generator = torch.Generator().manual_seed(5)
    torch.rand(3, generator=generator)
    dtype, device, again = back([torch.bfloat16, torch.device("cuda:1"), generator])
    assert (dtype, device) == (torch.bfloat16, torch.device("cuda:1"))
    assert torch.equal(torch.rand(4, generator=again), torch.rand(4, generator=generator))


@pytest.mark.parametrize("value", [object(), {1, 2}, [print], {torch.ones(1): 1}])
def test_what_has_no_exact_form_is_refused_and_not_left_out(value: Any) -> None:
    with pytest.raises(NotPlain, match="x"):
        to_tree({"deep": value}, "x", {})
