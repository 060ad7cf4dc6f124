"""What the WebUI's Lora extension reads beside plain LoRA, found in the code that would read it.

No host says so anywhere. The keys that a loader looks for stand in its code, though, and a loader without
them lets such tensors lie or refuses the whole file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType

# Modules that hold a loader: those of A1111's extension, then those that the Forges load through.
LOADERS = (
    "networks",
    "network",
    "network_lora",
    "network_ia3",
    "network_oft",
    "backend.patcher.lora",
    "packages_3rdparty.webui_lora_collection.lora",
    "packages_3rdparty.comfyui_lora_collection.lora",
    "ldm_patched.modules.lora",
)
PLAIN = "lora_up.weight"
# What settings.facts calls it, and parts of keys that give it away.
MARKS = {
    "bundle": ("bundle_emb",),
    "ia3": ("on_input",),
    "oft": ("oft_blocks", "oft_diag"),
    "dora": ("dora_scale",),
}


def what_is_read() -> frozenset[str] | None:
    """The names of MARKS that the host's loader looks for; None where that loader was not found."""
    found = {text for name in LOADERS for text in texts_of(sys.modules.get(name))}
    if not any(PLAIN in text for text in found):
        return None
    return frozenset(
        kind for kind, marks in MARKS.items() if any(mark in text for mark in marks for text in found)
    )


def texts_of(module: ModuleType | None) -> Iterator[str]:
    """Every text that stands in the code of a module's functions and classes."""
    for value in list(vars(module).values()) if module is not None else ():
        is_own = getattr(value, "__module__", None) == getattr(module, "__name__", "")
        if isinstance(value, type) and is_own:
            for member in vars(value).values():
                yield from texts_in(member)
        elif is_own:
            yield from texts_in(value)


def texts_in(value: object) -> Iterator[str]:
    """The texts in a function's code, in functions within it too."""
    value = getattr(value, "__wrapped__", value)
    code = value.__code__ if isinstance(value, FunctionType) else value
    if not isinstance(code, CodeType):
        return
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, (tuple, frozenset)):
            yield from (text for text in constant if isinstance(text, str))
        else:
            yield from texts_in(constant)
