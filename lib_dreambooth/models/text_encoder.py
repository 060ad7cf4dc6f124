"""One CLIP text encoder: token ids to states, with vectors put in the places of words.

B: rows, N: 77 tokens, D: width, P: projected width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.models.chunks import Row
from lib_dreambooth.models.families import TextRule


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """A CLIP text model and how its family uses it."""

    part: str
    module: nn.Module
    rule: TextRule

    @property
    def inner(self) -> Any:
        """The module that has the `encoder` and the last norm."""
        return self.module.text_model

    @property
    def token_embedding(self) -> nn.Embedding:
        return self.inner.embeddings.token_embedding

    @property
    def device(self) -> torch.device:
        return self.token_embedding.weight.device

    @property
    def width(self) -> int:
        return self.token_embedding.embedding_dim

    def encode(
        self, rows: Sequence[Row], layer: int, vectors: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """States [B, N, D] of the `layer`th layer from the end, and the pooled state [B, P] where it is used.

        `vectors` [V, D] by the names that the rows mention. Rows have to be padded for this encoder already.
        """
        num_layers = len(self.inner.encoder.layers)
        if layer > num_layers + 1:
            raise UserError(
                f"a clip skip of {layer} is not possible: the text encoder has only {num_layers} layers.",
                where="clip_skip",
                todo="Choose 1 or 2, as the model's author says.",
            )
        ids = torch.tensor([row.ids for row in rows], device=self.device)
        with vectors_in_place(self.token_embedding, rows, vectors or {}):
            output = self.module(input_ids=ids, output_hidden_states=layer > 1)
        return self.states_of(output, layer)

    def states_of(self, output: Any, layer: int) -> tuple[Tensor, Tensor | None]:
        """What the rule takes from the output: the states, `layer` from the end, and the pooled ones."""
        # The last layer comes out normalised, those before do not.
        states = output.last_hidden_state
        if layer > 1:
            states = output.hidden_states[-layer]
            if self.rule.has_final_norm:
                states = self.inner.final_layer_norm(states)
        return states, output.text_embeds if self.rule.is_pooled else None


@contextlib.contextmanager
def vectors_in_place(
    embedding: nn.Embedding, rows: Sequence[Row], vectors: Mapping[str, Tensor]
) -> Iterator[None]:
    """While open, the embedding gives an embedding's vectors at the places that the rows mark for it."""
    if not any(row.vectors for row in rows):
        yield
        return

    def put(module: nn.Module, args: tuple[Tensor, ...], states: Tensor) -> Tensor:
        return torch.stack(
            [put_vectors(row, state, vectors) for row, state in zip(rows, states, strict=True)]
        )

    handle = embedding.register_forward_hook(put)  # type: ignore[arg-type]
    try:
        yield
    finally:
        handle.remove()


def put_vectors(row: Row, states: Tensor, vectors: Mapping[str, Tensor]) -> Tensor:
    """The row's token embeddings [N, D] with vectors in their places; gradients flow into both."""
    for place in row.vectors:
        chosen = vectors[place.name][place.first : place.first + place.count].to(states)
        # Where a chunk was cut back to a comma, places can reach over the row's end token.
        chosen = chosen[: len(states) - place.offset]
        states = torch.cat([states[: place.offset], chosen, states[place.offset + len(chosen) :]])
    return states
