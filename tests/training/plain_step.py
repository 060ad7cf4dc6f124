"""One step of training in plain PyTorch, from the papers' formulas: what the real one is held against.

It shares with the real one the modules of the libraries, the draws of noise and timesteps as data, and the
encoding of captions; nothing of its objective or its networks. Everything is in double precision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.attached import Attached
from lib_dreambooth.adapters.low_rank import LowRank
from lib_dreambooth.adapters.norms import NormDifference
from lib_dreambooth.adapters.parts import Trainable
from lib_dreambooth.data.feeding.batch import Batch
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.models.encode import TextStyle, encode_prompts
from lib_dreambooth.models.loaded import LoadedModel
from tests.adapters.plain_kinds import plain_weight

STYLE = TextStyle(emphasis="None")


def alphas_bar() -> Tensor:
    """The share of the signal's variance after each of the thousand steps."""
    left, shares = 1.0, []
    for step in range(1000):
        root = 0.00085**0.5 + (0.012**0.5 - 0.00085**0.5) * step / 999
        left *= 1.0 - root**2
        shares.append(left)
    return torch.tensor(shares, dtype=torch.float64)


def at_zero_terminal(shares: Tensor) -> Tensor:
    """Algorithm 1 of arXiv 2305.08891."""
    root = shares.sqrt()
    first, last = root[0].clone(), root[-1].clone()
    return ((root - last) * first / (first - last)) ** 2


@dataclass(eq=False)
class Plain:
    """A batch in plain numbers: what went in, what came out, what was asked for."""

    timesteps: Tensor
    shares_of_signal: Tensor  # at the batch's timesteps
    predicted: Tensor
    target: Tensor
    trained: dict[str, Tensor]

    @property
    def snr(self) -> Tensor:
        return self.shares_of_signal / (1.0 - self.shares_of_signal)

    @property
    def difference(self) -> Tensor:
        return self.predicted - self.target

    def gradients(self, per_picture: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """Of the weighted sum of the pictures' losses, by the names of what is trained."""
        total = sum(weight * loss for weight, loss in zip(weights, per_picture, strict=True))
        assert isinstance(total, Tensor)
        found = torch.autograd.grad(total, list(self.trained.values()), retain_graph=True, allow_unused=True)
        # Nothing reads the last layers of some text encoders.
        named = zip(self.trained, found, strict=True)
        return {name: gradient for name, gradient in named if gradient is not None}


def plain_step(
    model: LoadedModel, prediction: str, batch: Batch, trained: dict[str, Tensor], table: Tensor, seed: int
) -> Plain:
    """Forward through a model in which `trained` are leaves; `table` is the share of signal by timestep."""
    visits = batch.plan.visits
    noise = torch.stack(
        [
            torch.from_numpy(Draw(seed, "noise", v.item.id, v.number).normal((4, 8, 8))).double()
            for v in visits
        ]
    )
    timesteps = torch.tensor([Draw(seed, "timestep", v.item.id, v.number).integer(1000) for v in visits])
    share = table[timesteps].reshape(-1, 1, 1, 1)
    clean = batch.latents
    assert clean is not None
    noisy = share**0.5 * clean + (1 - share) ** 0.5 * noise
    target = {
        "noise": noise,
        "velocity": share**0.5 * noise - (1 - share) ** 0.5 * clean,
        "sample": clean,
    }[prediction]
    states = encode_prompts(model.encoders, batch.captions, STYLE)
    extra = {}
    if states.pooled is not None:
        extra["added_cond_kwargs"] = {"text_embeds": states.pooled, "time_ids": batch.size_ids}
    joined = torch.cat(states.states, dim=2)
    predicted = model.unet(noisy, timesteps, encoder_hidden_states=joined, **extra).sample
    return Plain(timesteps, table[timesteps], predicted, target, trained)


def leaves(model: LoadedModel, ours: Trainable) -> dict[str, Tensor]:
    """Puts copies of what `ours` trains into another copy of the base, as leaves of a dense computation."""
    if isinstance(ours, Attached):
        return _merged(model, ours)
    names = {part.name for part in ours.parts()}
    found = {}
    for part, root in model.modules.items():
        for name, parameter in root.named_parameters():
            if f"{part}.{name}" in names:
                parameter.requires_grad_(True)
                found[f"{part}.{name}"] = parameter
    assert set(found) == names
    return found


def _merged(model: LoadedModel, ours: Attached) -> dict[str, Tensor]:
    """Weights with the network in them in place of every weight W, from leaves that the network trains."""
    found: dict[str, Tensor] = {}
    for target, beside in ours.adapters.items():
        name = ours.names.written[target]
        parts = {
            role: value.detach().clone().requires_grad_(True) for role, value in beside.named_parameters()
        }
        found |= {f"{name}.{role}": leaf for role, leaf in parts.items()}
        layer = model.modules[target.part].get_submodule(target.path)
        if isinstance(beside, NormDifference):
            _replace(layer, "weight", layer.weight.detach() + parts["weight"])
            _replace(layer, "bias", layer.bias.detach() + parts["bias"])
            continue
        if isinstance(beside, LowRank):
            parts = {f"lora_{role}": leaf for role, leaf in parts.items()}
        if "diff_b" in parts:
            _replace(layer, "bias", layer.bias.detach() + parts["diff_b"])
        _replace(
            layer, "weight", plain_weight(_in_file(beside, parts), _alpha(beside), layer.weight.detach())
        )
    return found


def _replace(layer: nn.Module, name: str, value: Tensor) -> None:
    del layer._parameters[name]
    setattr(layer, name, value)


def _in_file(beside: Any, parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """The leaves in the form of files: scales that have no place there in the matrices."""
    parts = dict(parts)
    if "scalar" in parts:
        first = next(name for name in ("hada_w1_a", "lokr_w1", "lokr_w1_a") if name in parts)
        parts[first] = parts[first] * parts.pop("scalar")
    if "a1" in parts:
        scale = beside.alpha / len(parts["a1"])
        parts |= {"a2": parts["a2"] * scale, "b2": parts["b2"] * scale}
    if set(parts) == {"weight"}:
        parts["on_input"] = torch.tensor(beside.is_on_input)
    return parts


def _alpha(beside: Any) -> float | None:
    return beside.to_file().alpha


# The papers' and kohya's formulas: from a plain step to the loss of each picture.
Formula = Callable[[Plain, Tensor], Tensor]


def mean_square(plain: Plain, masks: Tensor) -> Tensor:
    return (plain.difference**2).mean((1, 2, 3))


def mean_absolute(plain: Plain, masks: Tensor) -> Tensor:
    return plain.difference.abs().mean((1, 2, 3))


def huber(plain: Plain, masks: Tensor, *, schedule: str, is_smooth: bool) -> Tensor:
    c = HUBER_C[schedule](plain).reshape(-1, 1, 1, 1)
    pseudo = 2 * ((plain.difference**2 + c**2) ** 0.5 - c)
    return (pseudo if is_smooth else c * pseudo).mean((1, 2, 3))


def constant_c(plain: Plain) -> Tensor:
    return torch.full_like(plain.snr, 0.1 * 1.5)


def exponential_c(plain: Plain) -> Tensor:
    return 1.5 * torch.exp(plain.timesteps / 1000 * torch.log(torch.tensor(0.1, dtype=torch.float64)))


def snr_c(plain: Plain) -> Tensor:
    sigma = ((1 - plain.shares_of_signal) / plain.shares_of_signal) ** 0.5
    return 0.9 / (1 + sigma) ** 2 + 0.1


def min_snr(plain: Plain, masks: Tensor, prediction: str) -> Tensor:
    divisor = {"noise": plain.snr, "velocity": plain.snr + 1, "sample": 1.0}[prediction]
    return torch.minimum(plain.snr, torch.full_like(plain.snr, 5.0)) / divisor * mean_square(plain, masks)


def masked(plain: Plain, masks: Tensor, *, over_picture: bool = False, outside: float = 0.0) -> Tensor:
    losses = []
    for difference, mask in zip(plain.difference, masks.double(), strict=True):
        counted = torch.maximum(mask, torch.tensor(outside, dtype=torch.float64)).expand_as(difference)
        divisor = counted.numel() if over_picture else counted.sum()
        losses.append((difference**2 * counted).sum() / divisor)
    return torch.stack(losses)


HUBER_C: Mapping[str, Callable[[Plain], Tensor]] = {
    "constant": constant_c,
    "exponential": exponential_c,
    "snr": snr_c,
}
