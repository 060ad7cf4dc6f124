"""From the settings to what is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from lib_dreambooth.adapters.attached import Attached, Beside
from lib_dreambooth.adapters.lora import place, weight_at
from lib_dreambooth.adapters.low_rank import Dropouts, fresh
from lib_dreambooth.adapters.norms import no_difference
from lib_dreambooth.adapters.parts import Trainable
from lib_dreambooth.adapters.planning import (
    Ground,
    check_patterns,
    low_rank_layers,
    nothing_left,
    plan_low_rank,
    plus_ratio,
    rate_of,
    trained_parts,
)
from lib_dreambooth.adapters.starting import Start, norms_left_in
from lib_dreambooth.adapters.together import WithWords
from lib_dreambooth.adapters.whole import TextUse, attach_whole
from lib_dreambooth.adapters.word_rows import Tokenize
from lib_dreambooth.adapters.word_starts import attach_words
from lib_dreambooth.base.errors import UserError
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.adapter_names import AdapterNames, Target
from lib_dreambooth.settings.schema import Network, Run


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
    """Puts what `network`, `parts` and `words` ask for into the modules of `roots`, by part, for a first step.

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
    refuse_unavailable(run.network)
    return attach_low_rank(ground, roots, dtype)


def refuse_unavailable(network: Network) -> None:
    """Raises UserError for kinds of network that cannot be trained here."""
    if network.kind != "lora":
        raise UserError(
            f"{network.kind} is not available.",
            where="network.kind",
            todo="Choose lora, or none for whole weights.",
            code="unavailable-kind",
        )
    if network.decompose:
        raise UserError(
            "DoRA is not available.", where="network.decompose", todo="Untick it.", code="unavailable-kind"
        )


def attach_low_rank(ground: Ground, roots: Mapping[str, nn.Module], dtype: torch.dtype) -> Attached:
    """LoRA or LoCon, new or from a file, with differences of norms where they are asked for."""
    network = ground.network
    start = Start(Path(network.start_from), ground) if network.start_from else None
    if start is not None and network.ranks_from_file:
        check_patterns(ground, low_rank_layers(ground))
        planned = start.plan()
    else:
        planned = plan_low_rank(ground)
    if not planned:
        raise nothing_left("network")
    dropouts = Dropouts(network.dropout, network.rank_dropout, network.module_dropout)
    adapters: dict[Target, Beside] = {}
    rates: dict[Target, dict[str, float]] = {}
    for each in planned:
        draw = Draw(ground.run.draws.seed, "adapter", ground.names.written[each.target])
        found = start.low_rank(each, dropouts) if start is not None else None
        adapters[each.target] = found or fresh(
            ground.shape(each.target), each.rank, each.alpha, draw, dropouts
        )
        up_rate = each.rate * plus_ratio(network, each.target.part)
        rates[each.target] = {"down": each.rate, "mid": each.rate, "up": up_rate}
    for target in norms_left_in(ground) if network.train_norms else ():
        differences = start.norm(target) if start is not None else None
        adapters[target] = differences or no_difference(ground.shape(target))
        rates[target] = dict.fromkeys(("weight", "bias"), rate_of(ground, target))
    if start is not None:
        start.tell_unused(set(adapters))
    for target, beside in adapters.items():
        place(beside, weight_at(roots, target).device, dtype)
    return Attached(roots, ground.names, adapters, rates=rates)
