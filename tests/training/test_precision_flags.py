from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import torch

from lib_dreambooth.training.precision.flags import WORKSPACE, switched


def flags() -> tuple[Any, ...]:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return (
        matmul.allow_tf32,
        cudnn.allow_tf32,
        cudnn.deterministic,
        cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        os.environ.get(WORKSPACE),
        # Absent before PyTorch 2.2.
        getattr(getattr(torch.utils, "deterministic", None), "fill_uninitialized_memory", None),
    )


def put(values: tuple[Any, ...]) -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = values[:4]
    torch.use_deterministic_algorithms(values[4], warn_only=values[5])
    if values[6] is None:
        os.environ.pop(WORKSPACE, None)
    else:
        os.environ[WORKSPACE] = values[6]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = flags()
    yield
    put(before)


@pytest.mark.parametrize("tf32", [True, False])
def test_inside_they_are_as_asked(tf32: bool) -> None:
    with switched(tf32=tf32, deterministic=True):
        assert flags()[:6] == (tf32, tf32, True, False, True, True)
        assert os.environ[WORKSPACE] == ":4096:8"


@pytest.mark.parametrize("host", list(product([True, False], [True, False], [None, ":16:8"])))
@pytest.mark.parametrize("deterministic", [True, False])
def test_afterwards_they_are_the_hosts_again(
    host: tuple[bool, bool, str | None], deterministic: bool
) -> None:
    one, other, workspace = host
    put((one, other, other, one, one, other and one, workspace))
    before = flags()
    with switched(tf32=not one, deterministic=deterministic):
        pass
    assert flags() == before


def test_afterwards_they_are_the_hosts_again_when_the_run_fails() -> None:
    before = flags()
    with pytest.raises(RuntimeError, match="out of memory"), switched(tf32=True, deterministic=True):
        raise RuntimeError("out of memory")
    assert flags() == before


def test_runs_of_different_kinds_follow_each_other() -> None:
    before = flags()
    for tf32, deterministic in product([True, False], [True, False]):
        with switched(tf32=tf32, deterministic=deterministic):
            assert flags()[0] is tf32 and flags()[4] is (deterministic or before[4])
        assert flags() == before


def test_without_repeatability_the_hosts_choice_stays() -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    with switched(tf32=False):
        assert torch.are_deterministic_algorithms_enabled()


def test_a_host_that_computes_in_between_finds_its_own() -> None:
    before = flags()
    with switched(tf32=not before[0], deterministic=True) as aside:
        inside = flags()
        with pytest.raises(RuntimeError), aside():
            assert flags()[:6] == before[:6]
            raise RuntimeError
        assert flags() == inside
