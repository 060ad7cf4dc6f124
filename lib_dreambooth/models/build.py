"""Modules made without memory and filled with a file's tensors.

Nothing here relies on torch's initialisers, on `Module.to` or on `load_state_dict`: a WebUI that loads a
model in another thread replaces all three for as long as that takes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lib_dreambooth.formats.clip_keys import clip_config
from lib_dreambooth.formats.keymap import TEXT_2
from lib_dreambooth.formats.kinds import activation_of
from lib_dreambooth.formats.unet_layout import unet_config
from lib_dreambooth.formats.vae_keys import vae_config
from lib_dreambooth.models.clip import CLIPTextModel
from lib_dreambooth.models.families import Family
from lib_dreambooth.models.tokenizer import END_ID
from lib_dreambooth.models.unet import UNet2DConditionModel
from lib_dreambooth.models.vae import AutoencoderKL

StateDict = dict[str, Tensor]


def build_unet(state: StateDict, family: Family, pooled_width: int | None) -> UNet2DConditionModel:
    """A UNet for these tensors, still without them."""
    config = unet_config(shapes_of(state)).diffusers_config(pooled_width if family.has_size_ids else None)
    with torch.device("meta"):
        return UNet2DConditionModel(config)


def build_vae(state: StateDict, family: Family) -> AutoencoderKL:
    """A VAE for these tensors, still without them."""
    with torch.device("meta"):
        return AutoencoderKL(vae_config(shapes_of(state)), family.latent_scale)


def build_text_encoder(state: StateDict, family: Family, part: str) -> CLIPTextModel:
    """A text encoder for these tensors, still without them."""
    layout = clip_config(shapes_of(state))
    activation = activation_of(family.name, part)
    with torch.device("meta"):
        return CLIPTextModel(layout, activation, END_ID, is_projected=part == TEXT_2)


def fill(module: nn.Module, state: StateDict, device: torch.device) -> None:
    """Makes the tensors the module's parameters, and takes them out of `state` so that one copy is alive."""
    for name in list(state):
        tensor = state.pop(name)
        place, _, leaf = name.rpartition(".")
        owner = module.get_submodule(place)
        assert leaf in owner._parameters, f"{type(module).__name__} has no parameter {name}"
        owner._parameters[leaf] = nn.Parameter(tensor.to(device), requires_grad=False)
    module.eval()
    left = [name for name, tensor in all_tensors(module) if tensor.is_meta]
    assert not left, f"{type(module).__name__}: nothing was read for {left[:3]}"


def state_of(module: nn.Module) -> StateDict:
    """What `fill` took: the module's parameters, without a copy, under the names that `formats` uses."""
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


def move(module: nn.Module, device: torch.device, dtype: torch.dtype | None = None) -> None:
    """`Module.to`, which a loading WebUI makes a no-op; parameters stay the same objects."""
    for owner in module.modules():
        for parameter in owner._parameters.values():
            if parameter is not None:
                parameter.data = parameter.data.to(device, dtype if parameter.is_floating_point() else None)
        for name, buffer in owner._buffers.items():
            if buffer is not None:
                owner._buffers[name] = buffer.to(device, dtype if buffer.is_floating_point() else None)


def all_tensors(module: nn.Module) -> itertools.chain[tuple[str, Tensor]]:
    """Parameters and buffers with their names."""
    return itertools.chain(module.named_parameters(), module.named_buffers())


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}
