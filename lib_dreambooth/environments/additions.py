"""What a WebUI may lack, and which version of it fits the packages that are there. Pure: no import, no pip.

The versions come from what each wheel asks for and from trying: LyCORIS 4 registers operators in a way that
torch 2.6 and older refuses; bitsandbytes 0.46 and newer names a newer torch, and pip would replace the
WebUI's to satisfy it. diffusers and transformers are not here: networks and samplers are our own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Number = tuple[int, ...]


@dataclass(frozen=True)
class Host:
    """What decides: the Python and the distributions, by their normal names."""

    python: Number
    installed: Mapping[str, str]

    def version(self, name: str) -> Number | None:
        """The numbers of an installed version, or None."""
        if name == "python":
            return self.python
        found = self.installed.get(name)
        return numbers(found) if found is not None else None


@dataclass(frozen=True)
class Fit:
    """A version and what it needs: of each package the oldest that will do and the first that will not."""

    version: str
    needs: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)

    def unmet(self, host: Host) -> str | None:
        """The first need that the host does not meet, as words, or None."""
        for name, (oldest, too_new) in self.needs.items():
            here = host.version(name)
            if here is None:
                return f"{name} is not installed"
            if here < numbers(oldest) or (too_new is not None and here >= numbers(too_new)):
                span = f"{oldest} or newer" if too_new is None else f"{oldest} up to {too_new}"
                return f"it needs {name} {span}, this WebUI has {shown(here)}"
        return None


@dataclass(frozen=True)
class Package:
    """Something that a WebUI may lack: the versions to add, best first. `works_from` judges what is there."""

    name: str
    feature: str
    fits: tuple[Fit, ...]
    works_from: str
    is_required: bool = False
    instead: tuple[str, ...] = ()
    until_python: str = ""  # from this one on Python brings the same itself


@dataclass(frozen=True)
class Addition:
    """One distribution to install, by exact version."""

    package: Package
    version: str

    @property
    def requirement(self) -> str:
        return f"{self.package.name}=={self.version}"


@dataclass(frozen=True)
class Off:
    """A feature that cannot be used here, and why."""

    feature: str
    why: str

    def sentence(self) -> str:
        return f"{self.feature}: off. {self.why}"


@dataclass(frozen=True)
class Plan:
    """What to add, and what stays off whatever is added."""

    add: tuple[Addition, ...]
    off: tuple[Off, ...]


TRAINING = "training"

# What every WebUI brings and what this program is tested from; never installed, never changed.
FROM_HOST = {
    "torch": "2.1.2",
    "safetensors": "0.4.2",
    "numpy": "1.26",
    "pillow": "9.5",
    "tqdm": "4.66",
    "psutil": "5.9",
}

PACKAGES = (
    Package("msgspec", TRAINING, (Fit("0.22.0"),), works_from="0.18", is_required=True),
    Package("tomlkit", TRAINING, (Fit("0.14.0"),), works_from="0.12", is_required=True),
    Package("tomli", TRAINING, (Fit("2.5.0"),), works_from="1.1", is_required=True, until_python="3.11"),
    Package(
        "bitsandbytes",
        "8-bit optimizers",
        (
            Fit("0.49.2", {"torch": ("2.4", "3")}),
            Fit("0.45.5", {"torch": ("2.0", "2.4")}),
        ),
        works_from="0.41",
    ),
    Package(
        "lycoris-lora",
        "LoHa, LoKr, (IA)3, DoRA, OFT and GLoRA",
        (Fit("4.1.3", {"torch": ("2.9", None)}), Fit("3.4.0")),
        works_from="3.0",
    ),
    Package("pytorch-optimizer", "the optimizers of pytorch-optimizer", (Fit("4.1.0"),), works_from="3.0"),
    Package(
        "tensorboardx",
        "TensorBoard logs",
        (Fit("2.6.5", {"protobuf": ("3.20", None)}),),
        works_from="2.0",
    ),
    Package(
        "onnxruntime",
        "the tagger",
        (
            Fit("1.31.1", {"python": ("3.11", None), "protobuf": ("4.25.8", None)}),
            Fit("1.23.2", {"python": ("3.10", "3.14"), "protobuf": ("3.20", None)}),
        ),
        works_from="1.15",
        instead=("onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-silicon", "onnxruntime-openvino"),
    ),
)  # fmt: skip


def names() -> list[str]:
    """Every distribution that a plan looks at."""
    needs = [name for package in PACKAGES for fit in package.fits for name in fit.needs if name != "python"]
    ours = [name for package in PACKAGES for name in (package.name, *package.instead)]
    return sorted({*FROM_HOST, *needs, *ours})


def packages(python: Number) -> tuple[Package, ...]:
    """What a WebUI with this Python may lack."""
    return tuple(one for one in PACKAGES if not one.until_python or python < numbers(one.until_python))


def plan(host: Host) -> Plan:
    """What to add to this host, and which features stay off because nothing fits it."""
    too_old = below_floor(host)
    if too_old is not None:
        return Plan((), (too_old,))
    add: list[Addition] = []
    off: list[Off] = []
    for package in packages(host.python):
        found = judge(package, host)
        if isinstance(found, Addition):
            add.append(found)
        elif isinstance(found, Off):
            off.append(found)
    return Plan(tuple(add), tuple(off))


def below_floor(host: Host) -> Off | None:
    """Training is off where the WebUI's own packages are older than anything this was tried with."""
    for name, oldest in FROM_HOST.items():
        here = host.version(name)
        if here is None:
            return Off(
                TRAINING,
                f"This Python has no {name}; it is not a WebUI's, or the WebUI is not installed yet.",
            )
        if here < numbers(oldest):
            why = f"It needs {name} {oldest} or newer, this WebUI has {shown(here)}. Update the WebUI."
            return Off(TRAINING, why)
    return None


def judge(package: Package, host: Host) -> Addition | Off | None:
    """One package: nothing to do, a version to add, or the reason why its feature is off."""
    if any(name in host.installed for name in package.instead):
        return None
    here = host.version(package.name)
    if here is not None and here < numbers(package.works_from):
        why = f"It takes {package.name} {package.works_from} or newer; {shown(here)} is installed and stays."
        return Off(package.feature, why)
    if here is not None:
        return None
    for fit in package.fits:
        if fit.unmet(host) is None:
            return Addition(package, fit.version)
    return Off(package.feature, f"No {package.name} fits: {package.fits[-1].unmet(host)}.")


def missing(host: Host) -> tuple[Off, ...]:
    """What is off in this host as it is now, for the tab to say."""
    planned = plan(host)
    absent = [Off(each.package.feature, f"{each.package.name} is not installed.") for each in planned.add]
    return (*planned.off, *absent)


def numbers(version: str) -> Number:
    """The release part as numbers: 2.1.2+cu121 -> (2, 1, 2). Trailing zeros do not count."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    parts = [int(part) for part in found[0].split(".")] if found else [0]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def shown(version: Number) -> str:
    """(2, 1, 2) -> 2.1.2."""
    return ".".join(str(part) for part in version)
