"""What AUTOMATIC1111's WebUI has on the card, moved to system memory and back to where it was.

Modules of the WebUI are looked up among those that it has imported: what it never used is not on the card.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain
from typing import Any

OFF_CARD = ("cpu", "meta")


class WebuiModels:
    """Its checkpoints, by the WebUI's own ways; whatever else holds memory there, module by module."""

    def __init__(self) -> None:
        self._models: list[Any] = []
        self._others: list[tuple[Any, Any]] = []

    def leave(self) -> None:
        """All of it to system memory."""
        from modules import devices, sd_models

        models = [model for model in loaded_models() if is_model_on_card(model)]
        others = [module for module in other_modules() if is_on_card(module)]
        for model in models:
            drop_other_unet(model)
            sd_models.send_model_to_cpu(model)
        self._models += [model for model in models if not any(model is one for one in self._models)]
        for module in others:
            self._others.append((module, device_of(module)))
            module.to(devices.cpu)
        if models or others:
            devices.torch_gc()

    def come_back(self) -> None:
        """The chosen checkpoint, if it was there, and the rest; other checkpoints come when chosen."""
        from modules import sd_models

        moved, self._models = self._models, []
        chosen = sd_models.model_data.sd_model
        if chosen is not None and any(chosen is model for model in moved):
            sd_models.send_model_to_device(chosen)
        others, self._others = self._others, []
        for module, device in others:
            module.to(device)


def loaded_models() -> list[Any]:
    """Each checkpoint in memory, without causing one to be loaded."""
    from modules import sd_models

    data = sd_models.model_data
    found = list(getattr(data, "loaded_sd_models", ()))
    if data.sd_model is not None and not any(data.sd_model is model for model in found):
        found.append(data.sd_model)
    return found


def is_model_on_card(model: Any) -> bool:
    """Where parts of it take turns on the card, little things stay there always; only the part counts."""
    if getattr(model, "lowvram", False):
        return getattr(sys.modules.get("modules.lowvram"), "module_in_gpu", None) is not None
    return is_on_card(model)


def is_on_card(module: Any) -> bool:
    """Whether any weight of it is."""
    return any(parameter.device.type not in OFF_CARD for parameter in module.parameters())


def device_of(module: Any) -> Any:
    """The card that it is on."""
    return next(one.device for one in module.parameters() if one.device.type not in OFF_CARD)


def drop_other_unet(model: Any) -> None:
    """What stands in for the chosen model's UNet (TensorRT and the like); the next picture loads it again."""
    from modules import sd_models

    unets: Any = sys.modules.get("modules.sd_unet")
    if model is sd_models.model_data.sd_model and getattr(unets, "current_unet", None) is not None:
        unets.apply_unet("None")


def other_modules() -> Iterator[Any]:
    """Networks beside the checkpoints, each a module with weights."""
    found = chain(hypernetworks(), describers(), face_restorers(), small_decoders())
    return (module for module in found if hasattr(module, "parameters"))


def hypernetworks() -> Iterator[Any]:
    """The layers of those that the last prompt named."""
    for network in _of("shared", "loaded_hypernetworks", ()):
        for pair in network.layers.values():
            yield from pair


def describers() -> Iterator[Any]:
    """What turns pictures into words."""
    interrogator = _of("shared", "interrogator", None)
    yield getattr(interrogator, "blip_model", None)
    yield getattr(interrogator, "clip_model", None)
    yield getattr(_of("deepbooru", "model", None), "model", None)


def face_restorers() -> Iterator[Any]:
    """GFPGAN and CodeFormer, and what finds faces for them, as far as they were used."""
    for restorer in _of("shared", "face_restorers", ()):
        parts = getattr(restorer, "__dict__", {})
        yield parts.get("net")
        helper = parts.get("face_helper")
        yield getattr(helper, "face_det", None)
        yield getattr(helper, "face_parse", None)


def small_decoders() -> Iterator[Any]:
    """Those of live previews."""
    yield from list(_of("sd_vae_taesd", "sd_vae_taesd_models", {}).values())
    yield from list(_of("sd_vae_approx", "sd_vae_approx_models", {}).values())


def _of(module: str, name: str, default: Any) -> Any:
    found = getattr(sys.modules.get(f"modules.{module}"), name, default)
    return default if found is None else found
