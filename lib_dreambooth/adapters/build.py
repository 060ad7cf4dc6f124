"""From the settings to what is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from lib_dreambooth.adapters.attached import Attached, Beside
from lib_dreambooth.adapters.changes import LOHA, LOKR, LORA, OFT
from lib_dreambooth.adapters.dense import Dense
from lib_dreambooth.adapters.lora import place, weight_at
from lib_dreambooth.adapters.low_rank import Dropouts, LowRank, fresh
from lib_dreambooth.adapters.lycoris_parts import Wanted, for_layer, new_dense
from lib_dreambooth.adapters.norms import no_difference
from lib_dreambooth.adapters.parts import Trainable
from lib_dreambooth.adapters.planning import (
    Ground,
    Planned,
    check_patterns,
    has_rank,
    network_layers,
    nothing_left,
    plan_network,
    plus_ratio,
    rate_of,
    trained_parts,
)
from lib_dreambooth.adapters.starting import Start, norms_left_in
from lib_dreambooth.adapters.together import WithWords
from lib_dreambooth.adapters.whole import TextUse, attach_whole
from lib_dreambooth.adapters.word_rows import Tokenize
from lib_dreambooth.adapters.word_starts import attach_words
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.adapter_names import AdapterNames, Target
from lib_dreambooth.settings.schema import Network, Run

# The second half of a layer's product (LoRA+).
PLUS_ROLES = ("up", "lora_up")


def attach(
    run: Run,
    roots: Mapping[str, nn.Module],
    names: AdapterNames,
    family: str,
    *,
    rules: Mapping[str, TextUse] | None = None,
    dtype: torch.dtype = torch.float32,
    tokenize: Tokenize | None = None,
) -> Trainable:
    """Puts what `network`, `parts` and `words` ask for into the modules of `roots`, ready for a first step.

    `rules` say for each text encoder which of its layers is read, so that whole weights leave out the
    others; `dtype` is the precision that trained weights are kept in; words need `tokenize`. Raises UserError
    for kinds that are not available, for patterns and lists that fit nothing, and for a file to start from
    that does not fit.
    """
    ground = Ground(run, names, family, trained_parts(run, roots))
    if not run.parts.words.train:
        return attach_weights(ground, roots, rules or {}, dtype)
    assert tokenize is not None, "words are made of tokens"
    # First: what can go wrong with them leaves nothing in the model.
    words = attach_words(run, roots, tokenize, dtype)
    return WithWords(words, attach_weights(ground, roots, rules or {}, dtype) if ground.parts else None)


def attach_weights(
    ground: Ground, roots: Mapping[str, nn.Module], rules: Mapping[str, TextUse], dtype: torch.dtype
) -> Trainable:
    """A network beside the model, or its own weights."""
    run = ground.run
    if not ground.parts:
        raise nothing_left("parts")
    if run.network.kind == "none":
        return attach_whole(ground, roots, rules, dtype)
    return attach_network(ground, roots, dtype)


def attach_network(ground: Ground, roots: Mapping[str, nn.Module], dtype: torch.dtype) -> Attached:
    """A network of any kind, new or from a file, with differences of norms where they are asked for."""
    network = ground.network
    start = Start(Path(network.start_from), ground) if network.start_from else None
    if start is not None and network.ranks_from_file:
        check_patterns(ground, network_layers(ground))
        planned = start.plan()
    else:
        planned = plan_network(ground)
    if not planned:
        raise nothing_left("network")
    adapters: dict[Target, Beside] = {}
    rates: dict[Target, dict[str, float]] = {}
    for each in planned:
        new = _new(ground, each, roots[each.target.part].get_submodule(each.target.path))
        made = new if start is None else start.beside(each, new)
        adapters[each.target] = made
        plus = each.rate * plus_ratio(network, each.target.part)
        rates[each.target] = {
            role: plus if role in PLUS_ROLES else each.rate for role, _ in made.named_parameters()
        }
    for target in norms_left_in(ground) if network.train_norms else ():
        differences = start.norm(target) if start is not None else None
        adapters[target] = differences or no_difference(ground.shape(target))
        rates[target] = dict.fromkeys(("weight", "bias"), rate_of(ground, target))
    if start is not None:
        start.tell_unused(set(adapters))
    for target, beside in adapters.items():
        place(beside, weight_at(roots, target).device, dtype)
    return Attached(roots, ground.names, adapters, rates=rates)


def _new(ground: Ground, planned: Planned, layer: nn.Module) -> LowRank | Dense:
    """A layer's network that changes nothing yet."""
    network, target = ground.network, planned.target
    draw = Draw(ground.run.draws.seed, "adapter", ground.names.written[target])
    has_ranks = has_rank(network)
    dropouts = Dropouts(
        network.dropout if has_ranks else 0.0,
        network.rank_dropout if has_ranks else 0.0,
        network.module_dropout,
    )
    wanted = for_layer(_wanted(network, planned), target.path, layer)
    if wanted.kind == LORA and not wanted.is_decomposed:
        is_blank = isinstance(layer.weight, torch.Tensor) and layer.weight.is_meta
        return fresh(ground.shape(target), planned.rank, planned.alpha, draw, dropouts, is_blank=is_blank)
    return new_dense(wanted, layer, draw, dropouts)


def _wanted(network: Network, planned: Planned) -> Wanted:
    is_lokr, is_oft = network.kind == LOKR, network.kind == OFT
    is_product = network.kind in (LOHA, LOKR)
    return Wanted(
        network.kind,
        planned.rank,
        planned.alpha,
        is_decomposed=network.decompose and (is_product or network.kind == LORA),
        is_tucker=network.tucker and is_product,
        has_scalar=network.scalar and is_product,
        factor=network.factor if is_lokr else -1,
        decompose_both=network.decompose_both and is_lokr,
        constraint=network.constraint if is_oft else 0.0,
        is_rescaled=network.rescaled and is_oft,
    )
