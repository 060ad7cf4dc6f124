"""What is known about a run beside its settings: the base file, the pictures, this machine."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from lib_dreambooth.settings.length import EpochPlan

# Packages that optimizers and loggers come from, by the name they are imported under.
OPTIONAL_PACKAGES = ("bitsandbytes", "pytorch_optimizer", "lycoris", "xformers", "tensorboardX", "wandb")
# Narrowest layer that a network is put on, for families of full size.
NARROWEST_LAYER = {"sd1": 320, "sd2": 320, "sdxl": 640}


@dataclass(frozen=True)
class Facts:
    """What is known; what is not known yet is left out and not checked.

    `packages` are those of OPTIONAL_PACKAGES that are installed, None where nobody looked. `reads` are forms
    of files that the host reads where others do not ("bundle", "ia3", "oft", "dora"), None where that is not
    known.
    """

    family: str = ""
    prediction: str = ""
    narrowest_layer: int = 0
    packages: frozenset[str] | None = None
    epoch: EpochPlan | None = None
    reads: frozenset[str] | None = None

    def known(self) -> dict[str, Any]:
        """What settings left to "auto" have turned out to be, by path."""
        found = {"model.family": self.family, "model.prediction": self.prediction}
        return {path: value for path, value in found.items() if value}

    def smallest_width(self, family: str) -> int:
        """Width of the narrowest layer, 0 where it is not known."""
        return self.narrowest_layer or NARROWEST_LAYER.get(self.family or family, 0)


def installed_packages() -> frozenset[str]:
    """Which optional packages can be imported here; none of them is."""
    return frozenset(name for name in OPTIONAL_PACKAGES if importlib.util.find_spec(name) is not None)
