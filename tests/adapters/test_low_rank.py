"""The maths beside one layer, against the same written out; dropouts; norms held in bounds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lib_dreambooth.adapters.low_rank import Dropouts, LowRank, from_file
from lib_dreambooth.formats.lora import AdapterModule


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def beside_linear(alpha: float = 3.0, dropouts: Dropouts | None = None, rank: int = 4) -> LowRank:
    return LowRank(numbers(rank, 6, seed=1), numbers(5, rank, seed=2), alpha, dropouts=dropouts or Dropouts())


@pytest.mark.parametrize("shape", [(2, 6), (2, 7, 6), (2, 3, 7, 6)])
def test_output_and_gradients_of_a_linear_layer(shape: tuple[int, ...]) -> None:
    layer = nn.Linear(6, 5).double().requires_grad_(False)
    low_rank = beside_linear()
    x = numbers(*shape, seed=3).requires_grad_()
    found = low_rank.changed(layer(x), x, layer, 0.5)
    (found**3).sum().backward()
    ours = [x.grad, low_rank.down.grad, low_rank.up.grad]
    x2, down, up = (tensor.detach().clone().requires_grad_() for tensor in (x, low_rank.down, low_rank.up))
    expected = x2 @ (layer.weight + 0.5 * 3.0 / 4 * up @ down).T + layer.bias
    (expected**3).sum().backward()
    assert torch.allclose(found, expected, rtol=1e-12)
    for found_gradient, gradient in zip(ours, (x2.grad, down.grad, up.grad), strict=True):
        assert found_gradient is not None and gradient is not None
        assert torch.allclose(found_gradient, gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2)])
def test_output_and_gradients_of_a_convolution(kernel: int, stride: int) -> None:
    layer = nn.Conv2d(3, 5, kernel, stride=stride, padding=kernel // 2).double().requires_grad_(False)
    low_rank = LowRank(numbers(2, 3, kernel, kernel, seed=1), numbers(5, 2, 1, 1, seed=2), 3.0)
    x = numbers(2, 3, 6, 6, seed=3)
    found = low_rank.changed(layer(x), x, layer)
    (found**3).sum().backward()
    down, up = (tensor.detach().clone().requires_grad_() for tensor in (low_rank.down, low_rank.up))
    change = torch.einsum("or,rikl->oikl", up[:, :, 0, 0], down) * 1.5
    expected = nn.functional.conv2d(x, layer.weight + change, layer.bias, stride, kernel // 2)
    (expected**3).sum().backward()
    assert torch.allclose(found, expected, rtol=1e-12)
    for ours, gradient in ((low_rank.down.grad, down.grad), (low_rank.up.grad, up.grad)):
        assert ours is not None and gradient is not None
        assert torch.allclose(ours, gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_computes_in_the_precision_of_the_output(dtype: torch.dtype) -> None:
    layer = nn.Linear(6, 5)
    low_rank = beside_linear().float()
    x = numbers(2, 7, 6).float()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        output = layer(x)
        found = low_rank.changed(output, x, layer)
    found.float().sum().backward()
    assert output.dtype == found.dtype == dtype
    assert low_rank.up.dtype == torch.float32 and low_rank.up.grad is not None
    expected = output.float() + x @ low_rank.weight().T
    assert torch.allclose(found.float(), expected, rtol=2e-2 if dtype == torch.bfloat16 else 1e-5, atol=0.2)


def test_alpha_is_what_a_file_can_say() -> None:
    low_rank = LowRank(torch.ones(3, 2), torch.ones(2, 3), 0.1)
    assert low_rank.alpha == float(torch.tensor(0.1)) != 0.1
    back = from_file(AdapterModule(low_rank.to_file().parts, low_rank.alpha), (2, 2))
    assert back is not None and back.scale == low_rank.scale


class TestDropouts:
    layer = nn.Linear(6, 5).double().requires_grad_(False)
    x = numbers(64, 3, 6, seed=3)

    def added(self, dropouts: Dropouts, *, is_training: bool = True, seed: int = 1) -> Tensor:
        low_rank = beside_linear(dropouts=dropouts).train(is_training)
        zero = torch.zeros(64, 3, 5, dtype=torch.float64)
        torch.manual_seed(seed)
        return low_rank.changed(zero, self.x, self.layer).detach()

    @pytest.mark.parametrize("dropouts", [Dropouts(0.5), Dropouts(ranks=0.5), Dropouts(layer=0.999)])
    def test_act_in_training_alone(self, dropouts: Dropouts) -> None:
        whole = self.added(Dropouts())
        assert torch.equal(self.added(dropouts, is_training=False), whole)
        assert not torch.equal(self.added(dropouts), whole)

    def test_a_layer_left_out_adds_nothing_and_one_that_stays_is_as_it_was(self) -> None:
        found = [self.added(Dropouts(layer=0.5), seed=seed) for seed in range(40)]
        whole = self.added(Dropouts())
        is_out = [not bool(each.any()) for each in found]
        assert 10 < sum(is_out) < 30
        assert all(left or torch.equal(each, whole) for left, each in zip(is_out, found, strict=True))

    def test_ranks_are_left_out_for_a_whole_picture_and_the_rest_made_larger(self) -> None:
        found = self.added(Dropouts(ranks=0.25))
        low_rank = beside_linear()
        hidden = self.x @ low_rank.down.detach().T
        torch.manual_seed(1)
        kept = (torch.rand(64, 4) > 0.25).double()[:, None]
        expected = (hidden * kept) @ low_rank.up.detach().T * low_rank.scale / 0.75
        assert torch.allclose(found, expected)

    def test_values_are_left_out_one_by_one(self) -> None:
        found = self.added(Dropouts(values=0.25))
        low_rank = beside_linear()
        torch.manual_seed(1)
        hidden = nn.functional.dropout(self.x @ low_rank.down.detach().T, 0.25)
        assert torch.allclose(found, hidden @ low_rank.up.detach().T * low_rank.scale)

    def test_ranks_of_a_convolution(self) -> None:
        layer = nn.Conv2d(3, 5, 3, padding=1).double()
        low_rank = LowRank(
            numbers(4, 3, 3, 3), numbers(5, 4, 1, 1), 4.0, dropouts=Dropouts(ranks=0.5)
        )  # fmt: skip
        x = numbers(2, 3, 6, 6)
        torch.manual_seed(1)
        found = low_rank.changed(torch.zeros(2, 5, 6, 6, dtype=torch.float64), x, layer)
        torch.manual_seed(1)
        kept = (torch.rand(2, 4) > 0.5).double()[:, :, None, None]
        hidden = nn.functional.conv2d(x, low_rank.down, padding=1) * kept
        assert torch.allclose(found, nn.functional.conv2d(hidden, low_rank.up) / 0.5)


@given(st.floats(0.01, 50.0), st.integers(1, 6), st.sampled_from([(), (1, 1), (3, 3)]))
def test_norm_and_its_bound(max_norm: float, rank: int, kernel: tuple[int, ...]) -> None:
    low_rank = LowRank(
        numbers(rank, 6, *kernel, seed=rank).float(),
        numbers(5, rank, *(1 for _ in kernel), seed=9).float(),
        2.0,
    )
    before = low_rank.weight()
    assert float(low_rank.norm()) == pytest.approx(float(before.norm()), rel=1e-4)
    kept = low_rank.up.detach().clone()
    is_shrunk = bool(low_rank.limit_norm(max_norm))
    assert is_shrunk == (float(before.norm()) > max_norm)
    if is_shrunk:
        expected = before * max_norm / before.norm()
        assert torch.allclose(low_rank.weight(), expected, rtol=1e-3, atol=1e-5)
    else:
        assert torch.equal(low_rank.up, kept)


def test_norm_of_tucker_s_form() -> None:
    low_rank = LowRank(
        numbers(2, 3, 1, 1).float(), numbers(5, 2, 1, 1).float(), 1.0, numbers(2, 2, 3, 3).float()
    )
    assert float(low_rank.norm()) == pytest.approx(float(low_rank.weight().norm()))
