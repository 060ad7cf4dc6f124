"""The WebUI's own DeepBooru as a tagger: its file, and the scores of all its tags."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from lib_dreambooth.base.host import HostTagger

NAME = "DeepBooru"
FOLDER, ENDING = "torch_deepdanbooru", "*.pt"
SOURCE = "https://github.com/AUTOMATIC1111/TorchDeepDanbooru"
ABOUT_BYTES = 640_000_000
# What its network was trained on.
SIDE = 512
RESIZE_AND_FILL = 2
# What we need of the WebUI's module; one that lacks any of it is asked for its text.
NEEDED = ("np", "torch", "images", "devices")


def deepbooru_of_webui() -> HostTagger | None:
    """The tagger, where this WebUI has one."""
    module = module_of_webui()
    booru: Any = getattr(module, "model", None)
    if (
        module is None
        or booru is None
        or not all(hasattr(booru, name) for name in ("load", "start", "stop", "tag_multi"))
    ):
        return None
    folder = Path(importlib.import_module("modules.paths").models_path) / FOLDER
    is_here = any(folder.glob(ENDING))
    return HostTagger(
        name=NAME,
        is_here=is_here,
        source=SOURCE,
        num_bytes=ABOUT_BYTES,
        fetch=booru.load,
        opened=partial(opened, module),
    )


def module_of_webui() -> ModuleType | None:
    try:
        return importlib.import_module("modules.deepbooru")
    except ImportError:
        return None


@contextmanager
def opened(module: ModuleType) -> Iterator[Any]:
    """For the block, a function from a picture to scores by tag; the network is on the card for it."""
    module.model.start()
    try:
        has_all = all(hasattr(module, name) for name in NEEDED) and hasattr(module.model.model, "tags")
        yield partial(scores_of, module) if has_all else module.model.tag_multi
    finally:
        module.model.stop()


def scores_of(module: ModuleType, picture: Any) -> Mapping[str, float]:
    """How sure the network is of each of its tags: what the WebUI throws away below its own threshold."""
    booru, devices = module.model, module.devices
    resized = module.images.resize_image(RESIZE_AND_FILL, picture.convert("RGB"), SIDE, SIDE)
    numbers = module.np.expand_dims(module.np.array(resized, dtype=module.np.float32), 0) / 255
    # A Forge keeps the place with the tagger.
    device, dtype = getattr(booru, "load_device", devices.device), getattr(booru, "dtype", devices.dtype)
    with module.torch.no_grad(), getattr(devices, "autocast", nullcontext)():
        found = booru.model(module.torch.from_numpy(numbers).to(device, dtype))[0]
    return dict(zip(booru.model.tags, map(float, found.detach().float().cpu()), strict=True))
