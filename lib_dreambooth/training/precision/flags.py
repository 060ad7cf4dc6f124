"""PyTorch's switches for the whole process, set for a run and put back after it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

# cuBLAS repeats its sums only with a workspace of its own; read when it is first used.
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
# PyTorch from 2.2 on fills new memory where arithmetic is to be repeatable.
FILLING: Any = getattr(torch.utils, "deterministic", None)
FILLS = "fill_uninitialized_memory"
# Who imports it later calls `set_deterministic` again.
COMPILER = "torch._inductor.config"
Aside = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Switches:
    """The state of all of them."""

    matmul_tf32: bool
    cudnn_tf32: bool
    cudnn_deterministic: bool
    cudnn_benchmark: bool
    deterministic: bool
    warns_only: bool
    fills_memory: bool

    @classmethod
    def now(cls) -> Switches:
        """As they stand."""
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        return cls(
            matmul.allow_tf32,
            cudnn.allow_tf32,
            cudnn.deterministic,
            cudnn.benchmark,
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            getattr(FILLING, FILLS, False),
        )

    def set(self) -> None:
        """Puts all of them so."""
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        matmul.allow_tf32, cudnn.allow_tf32 = self.matmul_tf32, self.cudnn_tf32
        cudnn.deterministic, cudnn.benchmark = self.cudnn_deterministic, self.cudnn_benchmark
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            set_deterministic(self.deterministic, self.warns_only)
        if hasattr(FILLING, FILLS):
            setattr(FILLING, FILLS, self.fills_memory)

    @contextmanager
    def again(self) -> Iterator[None]:
        """For a block they stand like this, then as before it."""
        before = Switches.now()
        self.set()
        try:
            yield
        finally:
            before.set()


def set_deterministic(mode: bool, warns_only: bool) -> None:
    """`torch.use_deterministic_algorithms`, which imports all of PyTorch's compiler to tell it too."""
    if COMPILER in sys.modules:
        torch.use_deterministic_algorithms(mode, warn_only=warns_only)
    else:
        torch._C._set_deterministic_algorithms(mode, warn_only=warns_only)


@contextmanager
def switched(*, tf32: bool, deterministic: bool = False) -> Iterator[Aside]:
    """TF32 and repeatable arithmetic as a run wants them, while inside.

    Gives what to enter for a block in which they are as before: somebody else computes then.
    """
    before = Switches.now()
    workspace = os.environ.get(WORKSPACE)
    wanted = replace(before, matmul_tf32=tf32, cudnn_tf32=tf32)
    if deterministic:
        os.environ.setdefault(WORKSPACE, ":4096:8")
        # Some backward passes have no repeatable form; those only warn.
        wanted = replace(
            wanted, cudnn_deterministic=True, cudnn_benchmark=False, deterministic=True, warns_only=True
        )
        # It only helps to find who reads what nobody wrote, and costs a pass over every new tensor.
        wanted = replace(wanted, fills_memory=False)
    try:
        wanted.set()
        yield before.again
    finally:
        before.set()
        if workspace is None:
            os.environ.pop(WORKSPACE, None)
