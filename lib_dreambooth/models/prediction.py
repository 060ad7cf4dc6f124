"""Telling by trying whether a network predicts noise or velocity, for files that do not say."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

LAST_TIMESTEP = 999
TEST_VALUE = 0.5
TEST_SIZE = 8
NUM_TEST_TOKENS = 2
# At the last timestep the latent is nearly all noise: a network for noise gives it back, so the difference is
# small; the velocity is nearly the negative of the clean picture. The WebUI judges by the same number.
LIMIT = -1.0


@torch.no_grad()
def measured_prediction(unet: nn.Module) -> str:
    """ "epsilon" or "v", from one run in float32 on a constant latent at the last timestep."""
    config: Any = unet.config
    device = next(unet.parameters()).device
    shape = (1, config.in_channels, TEST_SIZE, TEST_SIZE)
    latent = torch.full(shape, TEST_VALUE, device=device)
    states = torch.full((1, NUM_TEST_TOKENS, config.cross_attention_dim), TEST_VALUE, device=device)
    with one_layer_in_float32(unet):
        said = unet(latent, torch.tensor([LAST_TIMESTEP], device=device), states).sample
    difference = (said.float() - latent[:, : said.shape[1]]).mean().item()
    return "v" if difference < LIMIT else "epsilon"


@contextlib.contextmanager
def one_layer_in_float32(module: nn.Module) -> Iterator[None]:
    """While open, each layer's weights are float32 for as long as it runs; the whole is never copied."""
    kept: dict[nn.Parameter, torch.Tensor] = {}

    def widen(layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        for parameter in layer.parameters(recurse=False):
            kept[parameter] = parameter.data
            parameter.data = parameter.data.float()
        return tuple(arg.float() if torch.is_tensor(arg) and arg.is_floating_point() else arg for arg in args)

    def narrow(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        for parameter in layer.parameters(recurse=False):
            parameter.data = kept.pop(parameter)

    layers = [layer for layer in module.modules() if next(layer.parameters(recurse=False), None) is not None]
    handles = [layer.register_forward_pre_hook(widen) for layer in layers]
    handles += [layer.register_forward_hook(narrow) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for parameter, data in kept.items():
            parameter.data = data
