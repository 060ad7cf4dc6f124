"""Files at once whose change depends on the weight: each starts from what those before it made."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lib_dreambooth.adapters.merging import merge_files
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.models.encode import Embeddings
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.sampling.loras import LoraUse, loras_at_work
from tests.adapters.conftest import outputs, written

DEPENDING = ("ia3", "oft", "glora", "dora")


def drawn_with(model: LoadedModel, files: Sequence[Path], weight: float) -> tuple[Tensor, ...]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(loras_at_work(model, [LoraUse(path, weight) for path in files], Embeddings({})))
        return outputs(model)


def merged_with(model: LoadedModel, *orders: Sequence[Path], weight: float) -> tuple[Tensor, ...]:
    """Files of one order at once, one order after the other."""
    merged = dataclasses.replace(model, modules=copy.deepcopy(model.modules))
    for files in orders:
        entries = [f"{path}:{weight}" for path in files]
        merge_files(entries, merged.modules, names_of(model.source.kind), "sd1")
    return outputs(merged)


def are_close(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    "kind", [kind if kind == "oft" else pytest.param(kind, marks=pytest.mark.slow) for kind in DEPENDING]
)
def test_the_second_starts_from_what_the_first_made(sd1: LoadedModel, tmp_path: Path, kind: str) -> None:
    first, second = written(sd1, tmp_path, "loha", 1), written(sd1, tmp_path, kind, 2)
    one_by_one = merged_with(sd1, [first], [second], weight=1.5)
    assert are_close(merged_with(sd1, [first, second], weight=1.5), one_by_one)
    assert are_close(drawn_with(sd1, [first, second], 1.5), one_by_one)
    # The other way round the second is the one that depends on nothing.
    assert not are_close(drawn_with(sd1, [second, first], 1.5), one_by_one)


def test_a_file_that_does_not_act_comes_before_nothing(sd1: LoadedModel, tmp_path: Path) -> None:
    first, second = written(sd1, tmp_path, "loha", 1), written(sd1, tmp_path, "oft", 2)
    uses = [LoraUse(first, 0.0), LoraUse(second)]
    with loras_at_work(sd1, uses, Embeddings({})):
        ours = outputs(sd1)
    assert all(torch.equal(a, b) for a, b in zip(ours, drawn_with(sd1, [second], 1.0), strict=True))
