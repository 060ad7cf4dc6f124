"""PyTorch's switches for the whole process, set for a run and put back after it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# cuBLAS repeats its sums only with a workspace of its own; read when it is first used.
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def switched(*, tf32: bool, deterministic: bool = False) -> Iterator[None]:
    """TF32 and repeatable arithmetic as a run wants them, while inside."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark)
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    warned_only = torch.is_deterministic_algorithms_warn_only_enabled()
    workspace = os.environ.get(WORKSPACE)
    try:
        matmul.allow_tf32, cudnn.allow_tf32 = tf32, tf32
        if deterministic:
            cudnn.deterministic, cudnn.benchmark = True, False
            os.environ.setdefault(WORKSPACE, ":4096:8")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Some backward passes have no repeatable form; those only warn.
                torch.use_deterministic_algorithms(True, warn_only=True)
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = before
        torch.use_deterministic_algorithms(was_deterministic, warn_only=warned_only)
        if workspace is None:
            os.environ.pop(WORKSPACE, None)
