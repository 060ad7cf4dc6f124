"""What operations on `meta` give by our own words, against PyTorch's."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from lib_dreambooth.forecast.forms import said, shape_of

ATEN = torch.ops.aten
HALF = torch.bfloat16


def on_meta(*shape: int, dtype: torch.dtype = HALF) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


X, ROWS, PICTURE = on_meta(2, 7, 64), on_meta(14, 64), on_meta(2, 64, 8, 6)
GAPS, TURNED, LAST = X.chunk(2, -1)[1], X.transpose(0, 1), PICTURE.to(memory_format=torch.channels_last)
OF_LAYER, OF_GROUPS = on_meta(2, 7, 1, dtype=torch.float32), on_meta(2, 32)
WEIGHT, THREE = on_meta(64), on_meta(5, 64, 3, 3)
PLACES = torch.empty(2, dtype=torch.int64, device="meta")
CASES: list[tuple[Any, tuple[Any, ...]]] = [
    (ATEN.add.Tensor, (X, on_meta(1, 7, 64))),
    (ATEN.add.Tensor, (X, on_meta(64, dtype=torch.float32))),
    (ATEN.add.Tensor, (PICTURE, LAST)),
    (ATEN.add.Tensor, (LAST, PICTURE)),
    (ATEN.mul.Tensor, (GAPS, GAPS)),
    (ATEN.mul.Tensor, (on_meta(3, 1), on_meta(1, 5))),
    (ATEN.div.Scalar, (on_meta(2, 1).expand(2, 9), 3.0)),
    (ATEN.pow.Tensor_Scalar, (X, 2)),
    (ATEN.eq.Scalar, (PLACES, 3)),
    (ATEN.gelu.default, (GAPS,)),
    (ATEN.silu.default, (LAST,)),
    (ATEN.sigmoid.default, (TURNED,)),
    (ATEN.silu_backward.default, (PICTURE, PICTURE)),
    (ATEN.empty_like.default, (TURNED,)),
    (ATEN.empty_like.default, (GAPS,)),
    (ATEN.sum.dim_IntList, (X, [0, 1], True)),
    (ATEN.mean.dim, (X, [1])),
    (ATEN.sum.default, (X,)),
    (ATEN.mm.default, (ROWS, ROWS.t())),
    (ATEN.addmm.default, (on_meta(14), ROWS, ROWS.t())),
    (ATEN.bmm.default, (X, X.transpose(1, 2))),
    (ATEN.convolution.default, (PICTURE, THREE, None, [2, 2], [1, 1], [1, 1], False, [0, 0], 1)),
    (
        ATEN.convolution_backward.default,
        (
            on_meta(2, 5, 4, 3),
            PICTURE,
            THREE,
            [5],
            [2, 2],
            [1, 1],
            [1, 1],
            False,
            [0, 0],
            1,
            [True, True, False],
        ),
    ),
    (
        ATEN.convolution_backward.default,
        (
            on_meta(2, 5, 1, 1),
            on_meta(2, 64, 1, 1),
            on_meta(5, 64, 1, 1),
            [5],
            [1, 1],
            [0, 0],
            [1, 1],
            False,
            [0, 0],
            1,
            [True, False, True],
        ),
    ),
    (ATEN.upsample_nearest2d.default, (PICTURE, [16, 12], None, None)),
    (ATEN.upsample_nearest2d.default, (LAST, [16, 12], 2.0, 2.0)),
    (ATEN.upsample_nearest2d_backward.default, (PICTURE, [8, 6], [2, 64, 4, 3], 2.0, 2.0)),
    (ATEN.upsample_nearest2d_backward.default, (LAST, [8, 6], [2, 64, 4, 3], 2.0, 2.0)),
    (ATEN.sum.dim_IntList, (ROWS.t(), [1], True)),
    (ATEN.cat.default, ([X, on_meta(2, 3, 64, dtype=torch.float32)], 1)),
    (ATEN.stack.default, ([GAPS, GAPS], 2)),
    (ATEN.index.Tensor, (X, [PLACES, PLACES])),
    (ATEN.argmax.default, (X, -1)),
    (ATEN.arange.default, (7,)),
    (ATEN.embedding.default, (ROWS, PLACES)),
    (ATEN.native_layer_norm.default, (X, [64], WEIGHT, WEIGHT, 1e-5)),
    (ATEN.native_layer_norm.default, (TURNED, [64], WEIGHT, WEIGHT, 1e-5)),
    (ATEN.native_layer_norm.default, (X.transpose(1, 2), [7], on_meta(7), on_meta(7), 1e-5)),
    (
        ATEN.native_layer_norm_backward.default,
        (X, X, [64], OF_LAYER, OF_LAYER, WEIGHT, WEIGHT, [True, False, True]),
    ),
    (
        ATEN.native_layer_norm_backward.default,
        (X, on_meta(2, 64, 7).transpose(1, 2), [64], OF_LAYER, OF_LAYER, WEIGHT, WEIGHT, [True, True, True]),
    ),
    (ATEN.native_group_norm.default, (PICTURE, WEIGHT, WEIGHT, 2, 64, 48, 32, 1e-5)),
    (
        ATEN.native_group_norm_backward.default,
        (PICTURE, PICTURE, OF_GROUPS, OF_GROUPS, WEIGHT, 2, 64, 48, 32, [True, True, False]),
    ),
]


def plain(form: Any) -> Any:
    """Steps of dimensions with a single number mean nothing."""
    if form is None:
        return None
    shape, strides, dtype = form
    return tuple(shape), [step for step, size in zip(strides, shape, strict=True) if size != 1], dtype


@pytest.mark.parametrize(("operation", "args"), CASES)
def test_a_form_is_what_pytorch_gives(operation: Any, args: tuple[Any, ...]) -> None:
    kwargs = {"device": "meta"} if operation is ATEN.arange.default else {}
    found = said(operation.overloadpacket.__name__, args, kwargs)
    truly = operation(*args, **kwargs)
    assert found is not None
    several = found[0] if len(found) == 1 else (found,)
    truly = truly if isinstance(truly, tuple) else (truly,)
    wanted = [None if one is None else (one.shape, one.stride(), one.dtype) for one in truly]
    assert [plain(one) for one in several] == [plain(one) for one in wanted]


def test_a_convolution_keeps_the_layout_as_devices_do() -> None:
    x = torch.ones(2, 8, 8, 6).to(memory_format=torch.channels_last)
    args = (x, torch.ones(5, 8, 3, 3), None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    found = said("convolution", args, {})
    assert plain(found) == plain(shape_of(ATEN.convolution.default(*args)))


def test_what_is_not_simple_is_left_to_pytorch() -> None:
    assert said("add", (PLACES, 1), {}) is None
    assert said("div", (X, X), {"rounding_mode": "floor"}) is None
    assert said("native_layer_norm", (X.expand(3, 2, 7, 64), [64], None, None, 1e-5), {}) is None
    assert said("sort", (X,), {}) is None


ALONE = """
import sys
import torch
had = set(sys.modules)
from lib_dreambooth.forecast.rehearsal import Manner, Rehearsal
from tests.forecast.made_scenes import CARD, CPU, SD15, scene
for changes, ability in (({}, CARD), ({"network": {"kind": "none"}}, CPU)):
    made = Rehearsal(scene(SD15, changes, ability))
    for level in ("off", "on"):
        made.step(1, (256, 256), Manner(level), 0, 0, 0)
    made.encode((256, 256), 1), made.read_texts()
    made.decode((256, 256), 0, []), made.draw((256, 256), 1, 0, [])
print({"torch._dynamo", "sympy"} & (set(sys.modules) - had) or "neither")
"""


def test_a_forecast_does_not_bring_pytorchs_compiler() -> None:
    said = subprocess.run(
        [sys.executable, "-c", ALONE], check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert said.stdout.split() == ["neither"]
