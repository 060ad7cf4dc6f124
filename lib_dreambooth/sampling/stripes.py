"""A VAE's decoder in stripes, for pictures that do not fit into memory at once.

The picture is the same up to rounding, without seams: norms take their statistics over all stripes, and
convolutions see the rows of their neighbours. Between two layers the stripes wait in the CPU's memory.

C: channels, H, W: size of a layer. A stripe is some rows of the whole width: [1, C, rows, W].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Stripes = list[Tensor]
Change = Callable[[Tensor], Tensor]


@torch.no_grad()
def decode_in_stripes(vae: Any, latents: Tensor, num_rows: int) -> Tensor:
    """What `vae.decode` gives for one latent [1, C, H, W], `num_rows` of its rows at a time."""
    decoder = vae.decoder
    x = latents if vae.post_quant_conv is None else vae.post_quant_conv(latents)
    # Attention looks at everything, in the size of the latent: that much always fits.
    x = decoder.mid_block(decoder.conv_in(x))
    stripes = [part.cpu() for part in x.split(num_rows, dim=2)]
    device = x.device
    del x
    for block in decoder.up_blocks:
        for resnet in block.resnets:
            stripes = _residual(resnet, stripes, device)
        for upsampler in block.upsamplers or ():
            stripes = list(_convolved(upsampler.conv, stripes, device, _doubled))
    change = _activated(decoder.conv_norm_out, decoder.conv_act, stripes, device)
    return torch.cat(list(_convolved(decoder.conv_out, stripes, device, change)), dim=2)


def _residual(resnet: Any, stripes: Stripes, device: torch.device) -> Stripes:
    change = _activated(resnet.norm1, resnet.nonlinearity, stripes, device)
    inner = list(_convolved(resnet.conv1, stripes, device, change))
    change = _activated(resnet.norm2, resnet.nonlinearity, inner, device)
    added = _convolved(resnet.conv2, inner, device, change)
    result = []
    for own, more in zip(stripes, added, strict=True):
        x = own if resnet.conv_shortcut is None else resnet.conv_shortcut(own.to(device)).cpu()
        result.append(x + more)
    return result


def _convolved(
    conv: nn.Conv2d, stripes: Sequence[Tensor], device: torch.device, change: Change
) -> Iterator[Tensor]:
    """A convolution of 3 x 3 after a change that looks at single places, or doubles the size."""
    for index, stripe in enumerate(stripes):
        above = stripes[index - 1][:, :, -1:] if index > 0 else stripe[:, :, :0]
        below = stripes[index + 1][:, :, :1] if index + 1 < len(stripes) else stripe[:, :, :0]
        joined = torch.cat([above, stripe, below], dim=2).to(device)
        x = change(joined)
        # Where the size doubled, the neighbours are two rows high, of which one counts.
        spare = x.shape[2] // joined.shape[2] - 1
        x = x[:, :, spare * above.shape[2] : x.shape[2] - spare * below.shape[2]]
        x = F.pad(x, (1, 1, 1 - above.shape[2], 1 - below.shape[2]))
        yield F.conv2d(x, conv.weight, conv.bias).cpu()


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _activated(norm: nn.GroupNorm, activation: Change, stripes: Stripes, device: torch.device) -> Change:
    """A group norm with the statistics of all stripes, and what follows it."""
    mean, variance = _statistics(norm.num_groups, stripes, device)
    width = stripes[0].shape[1] // norm.num_groups
    scale = (variance + norm.eps).rsqrt().repeat_interleave(width) * norm.weight.double().cpu()
    shift = norm.bias.double().cpu() - mean.repeat_interleave(width) * scale
    scale, shift = (values.to(device, torch.float32)[None, :, None, None] for values in (scale, shift))
    return lambda x: activation((x.float() * scale + shift).to(x.dtype))


def _statistics(num_groups: int, stripes: Stripes, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and variance of each group of channels over all stripes, float64 on the CPU."""
    counts, means, variances = [], [], []
    for stripe in stripes:
        values = stripe.to(device).float().reshape(num_groups, -1)
        variance, mean = torch.var_mean(values, dim=1, correction=0)
        counts.append(values.shape[1])
        means.append(mean.double().cpu())
        variances.append(variance.double().cpu())
    shares = torch.tensor(counts, dtype=torch.float64)[:, None] / sum(counts)
    mean = (torch.stack(means) * shares).sum(0)
    spread = torch.stack(variances) + (torch.stack(means) - mean) ** 2
    return mean, (spread * shares).sum(0)
