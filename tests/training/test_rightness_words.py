"""A step that trains words, alone and beside a network, against plain PyTorch in double precision."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_dreambooth.adapters.build import attach
from lib_dreambooth.adapters.together import WithWords, network_in
from lib_dreambooth.adapters.words import WORDS
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.models.encode import Embeddings
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.models.text_encoder import TextEncoder
from lib_dreambooth.models.tokenizer import clip_tokenizer
from lib_dreambooth.training.encoding import caption_states
from lib_dreambooth.training.micro_step import micro_step
from lib_dreambooth.training.objective.objective import Objective
from tests.models.tiny import tiny_sd1, tiny_sdxl
from tests.training import plain_step as plain
from tests.training.made_batches import made_batch, made_run

pytestmark = pytest.mark.once

SEED = 7
RELATIVE = 1e-5
NOTHING = 1e-12
BUILDERS = {"sd1": tiny_sd1, "sdxl": tiny_sdxl}
# Caption 1 of the made batches is "zwx on a blue background"; the name is two tokens. SDXL's second encoder
# takes its pooled state where the ids say that the text ends, so that the plain way must not move the end.
NUM_VECTORS = {"sd1": 3, "sdxl": 2}
PARTS = {
    "alone": {"network.kind": "none", "parts.unet.train": False, "parts.text_encoder_1.train": False},
    "beside": {"network.kind": "lora", "network.rank": 2, "parts.text_encoder_1.train": True},
}
SETTINGS: dict[str, Any] = {
    "parts.words.train": True,
    "loss.min_snr_gamma": 0.0,
    "draws.seed": SEED,
}


class TableWithWord(nn.Module):
    """A token embedding whose table has the word's rows at its end, as ids beyond the vocabulary."""

    def __init__(self, weight: Tensor, rows: Tensor, name: tuple[int, ...]) -> None:
        super().__init__()
        self.weight, self.rows, self.name = weight, rows, name

    def forward(self, ids: Tensor) -> Tensor:
        table = torch.cat([self.weight, self.rows])
        return table[torch.stack([self.spelled(row.tolist()) for row in ids])]

    def spelled(self, ids: list[int]) -> Tensor:
        """The ids with new ones for the word's name; padding at the end makes room."""
        size, name = len(ids), list(self.name)
        for place in range(size - len(name) + 1):
            if ids[place : place + len(name)] == name:
                new = list(range(len(self.weight), len(self.weight) + len(self.rows)))
                return torch.tensor((ids[:place] + new + ids[place + len(name) :] + ids[-1:] * size)[:size])
        return torch.tensor(ids)


def with_own_table(encoder: TextEncoder, rows: Tensor) -> None:
    table = encoder.token_embedding.weight.detach()
    name = tuple(clip_tokenizer()("zwx"))
    encoder.inner.embeddings.token_embedding = TableWithWord(table, rows, name)


@pytest.fixture(scope="module", params=list(BUILDERS))
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return BUILDERS[request.param](tmp_path_factory.mktemp("checkpoint"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(PARTS))
def test_loss_and_gradients(path: Path, kind: str) -> None:
    model, other = (read_model(path, dtype=torch.float64) for _ in range(2))
    word = {"name": "zwx", "vectors": NUM_VECTORS[model.family.name], "start_as": "ring"}
    run = made_run({**SETTINGS, **PARTS[kind], "words": [word]})
    trained = attach(
        run,
        model.modules,
        names_of(model.source.kind),
        model.family.name,
        rules=model.rules,
        dtype=torch.float64,
        tokenize=model.tokenizer,
    )
    assert isinstance(trained, WithWords)
    tables = [encoder.token_embedding.weight.detach().clone() for encoder in model.encoders]
    network = network_in(trained)
    for part in [] if network is None else network.parts():
        part.parameter.data = 0.1 * torch.randn(part.parameter.shape, dtype=torch.float64)
    model.words = Embeddings(trained.words.at_work)
    batch = made_batch(shares=(0.5, 0.3, 0.2))

    leaves = {} if network is None else plain.leaves(other, network)
    for encoder, part in zip(other.encoders, trained.words.parts(), strict=True):
        rows = part.parameter.detach().clone().requires_grad_(True)
        assert rows.dtype == torch.float64
        leaves[part.name] = rows
        with_own_table(encoder, rows)
    step = plain.plain_step(other, "noise", batch, leaves, plain.alphas_bar(), SEED)
    losses = plain.mean_square(step, torch.ones(1))
    expected = step.gradients(losses, batch.shares.double())

    found = micro_step(model, Objective(run, model), batch, partial(caption_states, model, style=plain.STYLE))
    found.total.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found.per_picture, losses, rtol=RELATIVE, atol=0)
    gradients = {part.name: part.parameter.grad for part in trained.parts()}
    assert set(expected) == {name for name, gradient in gradients.items() if gradient is not None}
    largest = max(float(gradient.norm()) for gradient in expected.values())
    for name, gradient in expected.items():
        ours = gradients[name]
        assert ours is not None
        # What is zero but for rounding (attention to a single place) has no relative error.
        near = max(RELATIVE * float(gradient.norm()), NOTHING * largest)
        assert float((ours - gradient).norm()) <= near, name
    of_words = [gradient for name, gradient in expected.items() if name.startswith(f"{WORDS}.zwx")]
    assert len(of_words) == len(tables) and all(bool(rows.any(dim=1).all()) for rows in of_words)
    others_stay(model, trained, tables)


def others_stay(model: LoadedModel, trained: WithWords, tables: list[Tensor]) -> None:
    """A step of the optimizer moves the word's rows, and no row of any table by a bit."""
    before = {name: tensor.clone() for name, tensor in trained.words.state().items()}
    torch.optim.AdamW([part.parameter for part in trained.parts()], lr=1e-2, weight_decay=0.1).step()
    for name, tensor in trained.words.state().items():
        assert bool((tensor != before[name]).any(dim=1).all()), name
    for encoder, table in zip(model.encoders, tables, strict=True):
        assert encoder.token_embedding.weight.grad is None
        assert torch.equal(encoder.token_embedding.weight, table)
