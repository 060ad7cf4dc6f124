"""All that a run needs to go on as if it had never stopped: named tensors, and JSON for the rest.

There is no generator state: draws are functions of seed, picture and visit.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lib_dreambooth import __version__
from lib_dreambooth.base.errors import FileError

FORM = 1
# Groups of tensors and of numbers; a group may have either or both.
TRAINED, OPTIMIZER, EMA, SCALER, SCHEDULE, CURVES, SPARED = (
    "trained",
    "optimizer",
    "ema",
    "scaler",
    "schedule",
    "curves",
    "spared",
)
# Between a group and the name inside it, which has dots of its own.
MARK = "/"
# What changes the last digits of a result.
PACKAGES = (
    "torch",
    "bitsandbytes",
    "lycoris-lora",
    "pytorch-optimizer",
    "xformers",
)


@dataclass(frozen=True)
class Surroundings:
    """Where a run happens. `plan` is a digest of the order of pictures, empty where nobody knows."""

    base_sha256: str
    plan: str = ""
    device: str = "cpu"
    threads: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    processes: int = 1

    def to_json(self) -> dict[str, Any]:
        return {
            "base_sha256": self.base_sha256,
            "plan": self.plan,
            "device": self.device,
            "threads": self.threads,
            "versions": dict(self.versions),
            "processes": self.processes,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Surroundings:
        return cls(
            str(data["base_sha256"]),
            str(data["plan"]),
            str(data["device"]),
            int(data["threads"]),
            {str(name): str(version) for name, version in data["versions"].items()},
            int(data.get("processes", 1)),
        )


def surroundings(base_sha256: str, plan: str = "", device: str = "cpu", processes: int = 1) -> Surroundings:
    """The present ones: threads and versions are looked up."""
    return Surroundings(base_sha256, plan, device, torch.get_num_threads(), versions_here(), processes)


def versions_here() -> dict[str, str]:
    """Ours, Python's and those of the packages that compute."""
    found = {"sd-webui-dreambooth": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    # With the build: `+cu128` computes otherwise than `+cpu`.
    found["torch"] = str(torch.__version__)
    return found


@dataclass(frozen=True)
class TrainingState:
    """A run after `step` steps. `settings` is the run as TOML, `tensors` and `numbers` go by group.

    Tensors are those of the run itself, not copies: write them before the next step.
    """

    step: int
    settings: str
    surroundings: Surroundings
    tensors: Mapping[str, Mapping[str, Tensor]]
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def to_saved(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Flat tensors and scalars, as `runs.states.write_state` takes them."""
        flat: dict[str, Tensor] = {}
        for group, named in self.tensors.items():
            assert MARK not in group, group
            flat.update({f"{group}{MARK}{name}": tensor for name, tensor in named.items()})
        scalars = {
            "form": FORM,
            "step": self.step,
            "settings": self.settings,
            "surroundings": self.surroundings.to_json(),
            # A group without tensors comes back as one.
            "groups": list(self.tensors),
            "numbers": dict(self.numbers),
        }
        return flat, scalars

    @classmethod
    def from_saved(cls, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> TrainingState:
        """The opposite of `to_saved`; raises FileError for a state of another form."""
        form = scalars.get("form")
        if form != FORM:
            raise other_form(form)
        try:
            grouped: dict[str, dict[str, Tensor]] = {str(group): {} for group in scalars["groups"]}
            for key, tensor in tensors.items():
                group, _, name = key.partition(MARK)
                grouped[group][name] = tensor
            where = Surroundings.from_json(scalars["surroundings"])
            settings, numbers = str(scalars["settings"]), dict(scalars["numbers"])
            return cls(int(scalars["step"]), settings, where, grouped, numbers)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise incomplete(error) from error


def other_form(form: object) -> FileError:
    """The sentence for a state that another version wrote."""
    return FileError(
        f"this state has the form {form!r}, and this version reads {FORM}.",
        where="state.json",
        todo="Update the extension, or start over.",
        code="other-state-form",
    )


def incomplete(error: Exception) -> FileError:
    """The sentence for a state that lacks something."""
    return FileError(
        f"this state is not complete ({type(error).__name__}: {error}).",
        where="state.json",
        todo="Go on from another state, or start over.",
        code="damaged-state",
    )
