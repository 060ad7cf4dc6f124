"""Draws of libraries from generators that are not torch's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Python's and NumPy's own generators seeded while inside; afterwards the process has its own again.

    pytorch-optimizer 4.1 draws from NumPy's in Kron and from Python's in SaRA.
    """
    kept, numpy_kept = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % (1 << 32))
    try:
        yield
    finally:
        random.setstate(kept)
        np.random.set_state(numpy_kept)
