"""From a name to a class that is here and works, or to a sentence that says why not."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import torch

from lib_dreambooth.base.errors import MissingPackage, UserError
from lib_dreambooth.training.optimizers.names import BITSANDBYTES, MAIN, REFUSED, TORCH, Known, table

NAME = "optimizer.name"
PACKAGES = {"bitsandbytes": "bitsandbytes", "pytorch_optimizer": "pytorch-optimizer"}


@dataclass(frozen=True)
class Availability:
    """Whether an optimizer can be used here; `why` says what stands against it."""

    name: str
    library: str
    is_installed: bool
    why: str = ""


def available(device_type: str = "") -> list[Availability]:
    """Every accepted optimizer, those of the form first; on `device_type`, or the best device here."""
    kind = device_type or ("cuda" if torch.cuda.is_available() else "cpu")
    main = [known.name.lower() for known in MAIN]
    others = sorted(name for name in table() if name not in main)
    return [availability(table()[name], kind) for name in (*main, *others)]


def availability(known: Known, device_type: str) -> Availability:
    """Whether one optimizer can be used on a kind of device."""
    why = against(known.library, known.class_name, device_type)
    return Availability(known.name, known.library, not why, why)


@functools.cache
def against(library: str, class_name: str, device_type: str) -> str:
    """What stands against using a class here; an empty text where nothing does."""
    if library == TORCH:
        return ""
    if importlib.util.find_spec(library) is None:
        return f"the package {PACKAGES[library]} is not installed"
    module = library_module(library)
    if isinstance(module, str):
        return module
    if not hasattr(module, class_name):
        return f"the {PACKAGES[library]} installed here has no {class_name}"
    if library == BITSANDBYTES and device_type == "cpu" and not steps_on_cpu():
        return "the bitsandbytes installed here needs an NVIDIA card; on a CPU it works from 0.50 on"
    return ""


@functools.cache
def library_module(library: str) -> Any:
    """The module that holds a library's optimizers, or a text saying why it cannot be imported."""
    names = {TORCH: "torch.optim", BITSANDBYTES: "bitsandbytes.optim"}
    try:
        return importlib.import_module(names.get(library, library))
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        # bitsandbytes without a fitting CUDA library raises any of these.
        return f"the package {PACKAGES[library]} cannot be loaded here: {error}"


@functools.cache
def steps_on_cpu() -> bool:
    """Whether bitsandbytes can move a weight on the CPU: tried, since no version says so."""
    weight = torch.nn.Parameter(torch.ones(64, 64))
    weight.grad = torch.ones(64, 64)
    try:
        library_module(BITSANDBYTES).AdamW8bit([weight], lr=0.1).step()
    except (AssertionError, AttributeError, NameError, NotImplementedError, RuntimeError, ValueError):
        return False
    return bool((weight.detach() < 1).all())


def find(name: str, device_type: str) -> Known:
    """The optimizer of a name, in any case; raises UserError or MissingPackage with a way out."""
    wanted = name.strip().lower()
    refused = next((known for known in REFUSED if known.lower() == wanted), None)
    if refused:
        raise UserError(
            f"{refused} cannot be used for training here: it {REFUSED[refused]}.",
            where=NAME,
            todo="Choose another optimizer, such as AdamW.",
            code="unusable-optimizer",
        )
    known = table().get(wanted)
    if known is None:
        raise unknown(name)
    why = against(known.library, known.class_name, device_type)
    if why:
        package = PACKAGES[known.library]
        raise MissingPackage(
            f"{known.name} cannot be used: {why}.",
            where=NAME,
            todo=f"Choose AdamW, or add the package: pip install -U {package}",
        )
    return known


def unknown(name: str) -> UserError:
    """The sentence for a name that is not known, with the nearest that is."""
    close = difflib.get_close_matches(name.strip().lower(), list(table()), n=1, cutoff=0.5)
    nearest = table()[close[0]].name if close else "AdamW"
    return UserError(
        f'there is no optimizer "{name}", or none that is known to go on exactly after a stop.',
        where=NAME,
        todo=f"Did you mean {nearest}?" if close else f"Choose one of the list, such as {nearest}.",
        code="unknown-optimizer",
    )
