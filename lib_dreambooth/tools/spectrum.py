"""Matrices as products of two narrow ones: the best there are of a rank, and how many ranks a change needs.

O: outputs, I: inputs, r: rank, s: singular values, the largest first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# What a share is of: the length of the change, the sum of its singular values, or the largest of them.
FROBENIUS, SUM, RATIO = "frobenius", "sum", "ratio"
SHARES = (FROBENIUS, SUM, RATIO)
# By chance where fewer ranks are wanted than a FEWth of a side; how many more, how often made better.
FEW, EXTRA, PASSES = 6, 16, 6


@dataclass(frozen=True)
class Spectrum:
    """`left` [O, r] times `values` [r] times `right` [r, I]."""

    left: Tensor
    values: Tensor
    right: Tensor

    def cut(self, rank: int) -> tuple[Tensor, Tensor]:
        """The two factors [O, rank] and [rank, I] of the best product of this rank; equally long."""
        roots = self.values[:rank].clamp(min=0).sqrt()
        return self.left[:, :rank] * roots, roots[:, None] * self.right[:rank]

    def lost(self, rank: int) -> float:
        """How much shorter the change gets, as a share of its length."""
        whole = float(self.values.norm())
        return max(0.0, 1.0 - float(self.values[:rank].norm()) / whole) if whole else 0.0


def of_product(up: Tensor, down: Tensor) -> Spectrum:
    """Of `up` [O, r] times `down` [r, I], without the whole product: exact, and cheap for small ranks."""
    up, down = up.double(), down.double()
    left, inner_left = torch.linalg.qr(up)
    right, inner_right = torch.linalg.qr(down.t())
    first, values, last = torch.linalg.svd(inner_left @ inner_right.t(), full_matrices=False)
    return Spectrum(left @ first, values, last @ right.t())


def of_matrix(matrix: Tensor) -> Spectrum:
    """Of a whole matrix [O, I]."""
    first, values, last = torch.linalg.svd(matrix.float(), full_matrices=False)
    return Spectrum(first, values, last)


def rank_for(values: Tensor, share: float, of: str) -> int:
    """The smallest rank, 1 at least, that keeps a share of what is there."""
    if not bool(values.any()):
        return 1
    if of == RATIO:
        # Values that are no smaller than the largest one divided by `share`.
        return max(int((values >= values[0] / share).sum()), 1)
    weights = values.square() if of == FROBENIUS else values
    # A share of the length: its square is a share of the squares.
    wanted = (share**2 if of == FROBENIUS else share) * float(weights.sum())
    reached = weights.cumsum(0) >= wanted * (1 - 1e-9)
    return int(reached.int().argmax()) + 1 if bool(reached.any()) else len(values)


def leading(matrix: Tensor, rank: int) -> Spectrum:
    """The first values of a whole matrix; where few are wanted of many, by random directions that are made
    better a few times, which is many times faster and as good."""
    if rank * FEW > min(matrix.shape):
        return of_matrix(matrix)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        left, values, right = torch.svd_lowrank(matrix.float(), q=rank + EXTRA, niter=PASSES)
    return Spectrum(left, values, right.t())
