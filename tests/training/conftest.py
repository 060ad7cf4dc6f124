"""What makes runs of the whole loop quick enough for tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def quick() -> Iterator[None]:
    """One thread, since tests share the machine; and what lives already is left out of looks for garbage."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.freeze()
    yield
    gc.unfreeze()
    torch.set_num_threads(before)
