"""Which layers get a network, with which rank, alpha and rate: the settings as a list of layers."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from lib_dreambooth.adapters.blocks import block_numbers, of_block
from lib_dreambooth.adapters.norms import norm_targets
from lib_dreambooth.adapters.patterns import first_that_fits, is_meant, useless_patterns
from lib_dreambooth.adapters.targets import attention_targets, convolution_targets, is_pointwise
from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.formats.adapter_names import AdapterNames, Target
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET
from lib_dreambooth.settings.schema import Network, Run

ATTENTION = (".attn1.", ".attn2.", ".self_attn.")
CROSS = (".attn2.",)
LOW_RANK_KINDS = ("lora", "loha", "lokr", "glora")


@dataclass(frozen=True)
class Planned:
    """One layer's network. `alpha` is what a file says; `rate` a factor on the rate of its part."""

    target: Target
    rank: int
    alpha: float
    rate: float = 1.0


@dataclass(frozen=True)
class Ground:
    """What a plan is made on: the settings and the model's layers."""

    run: Run
    names: AdapterNames
    family: str
    parts: tuple[str, ...]  # those that are trained

    @property
    def network(self) -> Network:
        return self.run.network

    @functools.cached_property
    def blocks(self) -> dict[Target, int]:
        return block_numbers(self.names, self.family)

    def shape(self, target: Target) -> tuple[int, ...]:
        return self.names.shapes[target]


def trained_parts(run: Run, present: Collection[str]) -> tuple[str, ...]:
    """The parts of the model that the settings train, of those that are there."""
    is_trained = {
        UNET: run.parts.unet.train,
        TEXT: run.parts.text_encoder_1.train,
        TEXT_2: run.parts.text_encoder_2.train,
    }
    return tuple(part for part, is_on in is_trained.items() if is_on and part in present)


def plan_network(ground: Ground) -> list[Planned]:
    """The layers of kohya's lists, less what is left out. SettingsError for patterns that fit nothing."""
    layers = network_layers(ground)
    check_patterns(ground, layers)
    ranked = [_planned(ground, target) for target in left_in(ground, layers)]
    planned = [replace(found, rate=rate_of(ground, found.target)) for found in ranked if found.rank > 0]
    return [found for found in planned if found.rate > 0]


def network_layers(ground: Ground) -> list[Target]:
    """What `targets` and the convolutions name in the parts that are trained."""
    kinds = {"all": ("",), "attention": ATTENTION, "cross": CROSS}[ground.network.targets]
    found = [
        target
        for target in attention_targets(ground.names)
        if any(kind in f".{target.path}." for kind in kinds)
    ]
    network = ground.network
    if has_rank(network) and (network.conv_rank or (network.block_ranks and network.block_conv_ranks)):
        found += convolution_targets(ground.names)
    return [target for target in found if target.part in ground.parts]


def norm_layers(ground: Ground) -> list[Target]:
    """The norms of the parts that are trained."""
    return [target for target in norm_targets(ground.names, ground.family) if target.part in ground.parts]


def check_patterns(ground: Ground, layers: Sequence[Target]) -> None:
    """Raises SettingsError for patterns that no layer of a network fits."""
    network = ground.network
    every = [*layers, *(norm_layers(ground) if network.train_norms else [])]
    problems = [
        problem
        for where, patterns, among in (
            ("network.include", network.include, every),
            ("network.exclude", network.exclude, every),
            ("network.layer_ranks", network.layer_ranks if has_rank(network) else (), layers),
            ("network.layer_alphas", network.layer_alphas if has_rank(network) else (), layers),
        )
        for problem in useless_patterns(where, patterns, among, ground.names)
    ]
    problems += useless_rates(ground, every)
    if problems:
        raise SettingsError(problems)


def useless_rates(ground: Ground, layers: Sequence[Target]) -> list[UserError]:
    """A sentence for each pattern of rates that none of the UNet's layers fits."""
    if UNET not in ground.parts:
        return []
    of_unet = [target for target in layers if target.part == UNET]
    rates = ground.run.parts.unet.layer_rates
    return useless_patterns("parts.unet.layer_rates", rates, of_unet, ground.names)


def left_in(ground: Ground, layers: Sequence[Target]) -> list[Target]:
    """The layers that the patterns include and do not exclude."""
    network, names = ground.network, ground.names
    return [
        target
        for target in layers
        if (not network.include or any(is_meant(pattern, target, names) for pattern in network.include))
        and not any(is_meant(pattern, target, names) for pattern in network.exclude)
    ]


def rate_of(ground: Ground, target: Target) -> float:
    """The factor of a layer's block times that of the first pattern that fits the layer."""
    unet = ground.run.parts.unet
    if target.part != UNET:
        return 1.0
    block = 1.0
    if unet.block_rates:
        block = of_block(unet.block_rates, ground.blocks[target], ground.family, "parts.unet.block_rates")
    layer = first_that_fits(unet.layer_rates, target, ground.names)
    return block * (1.0 if layer is None else layer)


def has_rank(network: Network) -> bool:
    """Whether a kind of network is of low rank: what is set about ranks means something."""
    return network.kind in LOW_RANK_KINDS


def plus_ratio(network: Network, part: str) -> float:
    """What the rate of `up` is multiplied with (LoRA+), which is a matter of LoRA alone."""
    if network.kind != "lora":
        return 1.0
    own = network.plus_ratio_unet if part == UNET else network.plus_ratio_text
    return own or network.plus_ratio or 1.0


def nothing_left(where: str) -> UserError:
    """The sentence for settings that leave no layer."""
    return UserError(
        "no layer of the model is left to train.",
        where=where,
        todo="Tick a part to train, and look at patterns, ranks and rates of 0.",
        code="nothing-to-train",
    )


def _planned(ground: Ground, target: Target) -> Planned:
    if not has_rank(ground.network):
        return Planned(target, ground.network.rank, 0.0)
    rank, alpha = _of_kind(ground, target)
    own_rank = first_that_fits(ground.network.layer_ranks, target, ground.names)
    if own_rank is not None:
        # As loud as before: alpha goes along with the rank.
        per_rank = (
            alpha / rank if rank else (ground.network.alpha or ground.network.rank) / ground.network.rank
        )
        rank, alpha = own_rank, per_rank * own_rank
    own_alpha = first_that_fits(ground.network.layer_alphas, target, ground.names)
    if own_alpha is not None:
        alpha = own_alpha or float(rank)
    # Readers divide by the rank; the root of it is put into what they divide.
    return Planned(target, rank, alpha * rank**0.5 if ground.network.rank_stabilised else alpha)


def _of_kind(ground: Ground, target: Target) -> tuple[int, float]:
    """Rank and alpha before patterns of layers; an alpha of 0 is the rank."""
    network = ground.network
    if target.part != UNET:
        rank = network.text_rank or network.rank
        return rank, (network.alpha or network.rank) * rank / network.rank
    if is_pointwise(ground.shape(target)):
        rank, alpha = network.rank, network.alpha
        lists = ("block_ranks", network.block_ranks), ("block_alphas", network.block_alphas)
    else:
        rank, alpha = network.conv_rank, network.conv_alpha
        lists = (
            ("block_conv_ranks", network.block_conv_ranks if network.block_ranks else ()),
            ("block_conv_alphas", network.block_conv_alphas),
        )
    (ranks_name, ranks), (alphas_name, alphas) = lists
    number = ground.blocks[target]
    if ranks:
        rank = int(of_block(ranks, number, ground.family, f"network.{ranks_name}"))
        if alphas:
            alpha = of_block(alphas, number, ground.family, f"network.{alphas_name}")
    return rank, alpha or float(rank)
