"""Stable Diffusion's UNet, made from a layout.

B: pictures, C: channels, H, W: size of the latent, M: states of a prompt, D: their width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lib_dreambooth.models.blank import Conv2d, Linear
from lib_dreambooth.models.unet_layers import (
    NORM_GROUPS,
    Attention,
    Downsample2D,
    ResnetBlock2D,
    Transformer2DModel,
    Upsample2D,
)

EPS = 1e-5
LONGEST_PERIOD = 10_000


@dataclass(frozen=True)
class UNetSizes:
    """What is asked of a UNet from outside, in diffusers' words."""

    in_channels: int
    out_channels: int
    block_out_channels: tuple[int, ...]
    cross_attention_dim: int
    addition_time_embed_dim: int | None = None


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a UNet says [B, C, H, W]."""

    sample: Tensor


class TimestepEmbedding(nn.Module):
    """Two layers behind the waves of a noise level, or of a picture's sizes."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.linear_1 = Linear(in_width, width)
        self.act = nn.SiLU()
        self.linear_2 = Linear(width, width)

    def forward(self, waves: Tensor) -> Tensor:
        found: Tensor = self.linear_2(self.act(self.linear_1(waves)))
        return found


def waves(numbers: Tensor, width: int) -> Tensor:
    """Cosines and sines of numbers [B] at `width / 2` periods each, float32."""
    half = width // 2
    places = torch.arange(half, dtype=torch.float32, device=numbers.device)
    angles = numbers[:, None].float() * torch.exp(-math.log(LONGEST_PERIOD) * places / half)[None, :]
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


class Level(nn.Module):
    """The blocks of one size: residual ones, transformers behind them, and the change to the next size."""

    def __init__(self, resnets: Sequence[nn.Module], transformers: Sequence[nn.Module]) -> None:
        super().__init__()
        # Transformers are the first in every list of parameters.
        if transformers:
            self.attentions = nn.ModuleList(transformers)
        self.resnets = nn.ModuleList(resnets)

    def both(self, place: int, hidden: Tensor, temb: Tensor, states: Tensor) -> Tensor:
        """The residual block of a place and its transformer, if there is one."""
        hidden = self.resnets[place](hidden, temb)
        return self.attentions[place](hidden, states) if hasattr(self, "attentions") else hidden


class DownLevel(Level):
    """On the way down; what each block gives is kept for the way up."""

    def __init__(
        self, resnets: Sequence[nn.Module], transformers: Sequence[nn.Module], smaller: nn.Module | None
    ) -> None:
        super().__init__(resnets, transformers)
        self.downsamplers = None if smaller is None else nn.ModuleList([smaller])

    def forward(self, hidden: Tensor, temb: Tensor, states: Tensor, kept: list[Tensor]) -> Tensor:
        for place in range(len(self.resnets)):
            hidden = self.both(place, hidden, temb, states)
            kept.append(hidden)
        if self.downsamplers is not None:
            hidden = self.downsamplers[0](hidden)
            kept.append(hidden)
        return hidden


class UpLevel(Level):
    """On the way up; takes what was kept, the last first."""

    def __init__(
        self, resnets: Sequence[nn.Module], transformers: Sequence[nn.Module], larger: nn.Module | None
    ) -> None:
        super().__init__(resnets, transformers)
        self.upsamplers = None if larger is None else nn.ModuleList([larger])

    def forward(
        self, hidden: Tensor, temb: Tensor, states: Tensor, kept: list[Tensor], *, is_uneven: bool
    ) -> Tensor:
        for place in range(len(self.resnets)):
            hidden = self.both(place, torch.cat([hidden, kept.pop()], dim=1), temb, states)
        if self.upsamplers is not None:
            size = tuple(kept[-1].shape[2:]) if is_uneven else None
            hidden = self.upsamplers[0](hidden, size)
        return hidden


class MidLevel(Level):
    """At the bottom: a residual block, and a transformer with another behind it."""

    def forward(self, hidden: Tensor, temb: Tensor, states: Tensor) -> Tensor:
        hidden = self.resnets[0](hidden, temb)
        for transformer, resnet in zip(getattr(self, "attentions", ()), self.resnets[1:], strict=True):
            hidden = resnet(transformer(hidden, states), temb)
        return hidden


class UNet2DConditionModel(nn.Module):
    """Says what is noise in a latent, for a noise level and the states of a prompt.

    `config` are the arguments of diffusers' class of that name, as a layout gives them.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        widths, time = tuple(config["block_out_channels"]), self._time_width(config)
        size_ids = config.get("addition_time_embed_dim")
        self.config = UNetSizes(
            config["in_channels"], config["out_channels"], widths, config["cross_attention_dim"], size_ids
        )
        make = _Maker(config, time)
        self.conv_in = Conv2d(config["in_channels"], widths[0], 3, padding=1)
        self.time_embedding = TimestepEmbedding(widths[0], time)
        if size_ids is not None:
            added = config["projection_class_embeddings_input_dim"]
            self.add_embedding = TimestepEmbedding(added, time)
        self.down_blocks = nn.ModuleList(make.down())
        self.up_blocks = nn.ModuleList(make.up())
        self.mid_block = make.middle()
        self.conv_norm_out = nn.GroupNorm(NORM_GROUPS, widths[0], eps=EPS)
        self.conv_act = nn.SiLU()
        self.conv_out = Conv2d(widths[0], config["out_channels"], 3, padding=1)

    @staticmethod
    def _time_width(config: Mapping[str, Any]) -> int:
        return int(config.get("time_embedding_dim") or 4 * config["block_out_channels"][0])

    @property
    def attentions(self) -> list[Attention]:
        """Every attention, in the order of the modules."""
        return [module for module in self.modules() if isinstance(module, Attention)]

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        added_cond_kwargs: Mapping[str, Tensor] | None = None,
    ) -> Predicted:
        """`sample` [B, C, H, W], `timestep` [B] or one for all, states [B, M, D].

        SDXL's also takes `text_embeds` [B, P] and `time_ids` [B, 6].
        """
        temb = self._embedded(sample, timestep, added_cond_kwargs)
        # A size that cannot be halved so often is given back as it was on the way down.
        smallest = 2 ** (len(self.up_blocks) - 1)
        is_uneven = any(side % smallest for side in sample.shape[-2:])
        hidden = self.conv_in(sample)
        kept = [hidden]
        for block in self.down_blocks:
            hidden = block(hidden, temb, encoder_hidden_states, kept)
        if self.mid_block is not None:
            hidden = self.mid_block(hidden, temb, encoder_hidden_states)
        for block in self.up_blocks:
            hidden = block(hidden, temb, encoder_hidden_states, kept, is_uneven=is_uneven)
        return Predicted(self.conv_out(self.conv_act(self.conv_norm_out(hidden))))

    def _embedded(
        self, sample: Tensor, timestep: Tensor | float, added: Mapping[str, Tensor] | None
    ) -> Tensor:
        """The embedding of noise levels, and of what else belongs to a picture."""
        levels = torch.as_tensor(timestep, device=sample.device)
        levels = levels.reshape(-1).expand(len(sample))
        temb: Tensor = self.time_embedding(waves(levels, self.config.block_out_channels[0]).to(sample.dtype))
        if self.config.addition_time_embed_dim is None:
            return temb
        assert added is not None, "this UNet takes sizes and a pooled state too"
        pooled, size_ids = added["text_embeds"], added["time_ids"]
        sizes = waves(size_ids.flatten(), self.config.addition_time_embed_dim).reshape(len(pooled), -1)
        more: Tensor = self.add_embedding(torch.cat([pooled, sizes], dim=-1).to(temb.dtype))
        return temb + more


class _Maker:
    """The levels of a UNet, from diffusers' arguments."""

    def __init__(self, config: Mapping[str, Any], time_width: int) -> None:
        self.config = config
        self.time_width = time_width
        self.widths: Sequence[int] = config["block_out_channels"]
        self.depths: Sequence[int] = config["transformer_layers_per_block"]
        self.heads: Sequence[int] = config["attention_head_dim"]

    def down(self) -> list[DownLevel]:
        made = []
        before = self.widths[0]
        for level, width in enumerate(self.widths):
            count = self.config["layers_per_block"][level]
            resnets = [self._resnet(before if place == 0 else width, width) for place in range(count)]
            has_text = self.config["down_block_types"][level].startswith("CrossAttn")
            transformers = [
                self._transformer(level, self.depths[level]) for _ in range(count if has_text else 0)
            ]
            smaller = Downsample2D(width) if level < len(self.widths) - 1 else None
            made.append(DownLevel(resnets, transformers, smaller))
            before = width
        return made

    def up(self) -> list[UpLevel]:
        last = len(self.widths) - 1
        depths = self.config.get("reverse_transformer_layers_per_block") or list(reversed(self.depths))
        made = []
        before = self.widths[last]
        for place, kind in enumerate(self.config["up_block_types"]):
            level = last - place
            width, skipped = self.widths[level], self.widths[max(level - 1, 0)]
            count = self.config["layers_per_block"][level] + 1
            resnets = []
            for number in range(count):
                # The last one takes what was kept at the level's own beginning.
                kept = skipped if number == count - 1 else width
                resnets.append(self._resnet((before if number == 0 else width) + kept, width))
            has_text = kind.startswith("CrossAttn")
            transformers = [self._transformer(level, depths[place]) for _ in range(count if has_text else 0)]
            larger = Upsample2D(width) if level > 0 else None
            made.append(UpLevel(resnets, transformers, larger))
            before = width
        return made

    def middle(self) -> MidLevel | None:
        kind, last = self.config["mid_block_type"], len(self.widths) - 1
        if kind is None:
            return None
        has_text = kind == "UNetMidBlock2DCrossAttn"
        resnets = [self._resnet(self.widths[last], self.widths[last]) for _ in range(1 + has_text)]
        return MidLevel(resnets, [self._transformer(last, self.depths[last])] if has_text else [])

    def _resnet(self, in_channels: int, out_channels: int) -> ResnetBlock2D:
        return ResnetBlock2D(in_channels, out_channels, self.time_width, EPS)

    def _transformer(self, level: int, depth: int) -> Transformer2DModel:
        config = self.config
        return Transformer2DModel(
            self.widths[level],
            self.heads[level],
            depth,
            config["cross_attention_dim"],
            is_linear=config["use_linear_projection"],
        )
