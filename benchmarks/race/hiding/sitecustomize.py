"""Read by every Python that starts with this folder on PYTHONPATH: what HIDDEN_PACKAGES names is missing."""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from typing import Any

HIDDEN = frozenset(os.environ["HIDDEN_PACKAGES"].split(","))


class Hiding(PathFinder):
    """Finds everything but those."""

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Any:
        return None if fullname in HIDDEN else super().find_spec(fullname, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding
