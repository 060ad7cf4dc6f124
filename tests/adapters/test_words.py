"""New words: what they start as, how long they may grow, and that they leave the model as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from torch import Tensor

from lib_dreambooth.adapters.attached import Attached
from lib_dreambooth.adapters.build import attach
from lib_dreambooth.adapters.together import WithWords, beside_words, network_in, words_in
from lib_dreambooth.adapters.whole import Whole
from lib_dreambooth.adapters.word_rows import NUM_SPECIALS, concepts_of, first_rows
from lib_dreambooth.adapters.word_starts import left_out, starting_concepts
from lib_dreambooth.adapters.words import WORDS, Words
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.diffusion.draws import Draw
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.embedding import Embedding, write_embedding
from lib_dreambooth.formats.keymap import TEXT, TEXT_2, UNET
from lib_dreambooth.models.encode import Embeddings, encode_prompts
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.tokenizer import END_ID, clip_tokenizer
from lib_dreambooth.settings.schema import Concept, Word
from tests.adapters.conftest import run_of

TOKENIZE = clip_tokenizer()
ALONE: dict[str, Any] = {
    "network": {"kind": "none"},
    "parts": {"words": {"train": True}, "unet": {"train": False}, "text_encoder_1": {"train": False}},
}
PAIRED: dict[str, Any] = {"parts": {"words": {"train": True}}}
ONE = {"words": [{"name": "zwx", "vectors": 3, "start_as": "long_hair, red"}]}


def made(model: LoadedModel, **values: Any) -> Any:
    """What these settings train, at work on the model."""
    run, names = run_of(**values), names_of(model.source.kind)
    return attach(run, model.modules, names, model.family.name, rules=model.rules, tokenize=model.tokenizer)


def words_of(model: LoadedModel, **values: Any) -> Words:
    trained = made(model, **{**ALONE, **ONE, **values})
    words = words_in(trained)
    assert words is not None and beside_words(trained) is None
    return words


def rows_of(words: Words, part: str = TEXT, name: str = "zwx") -> Tensor:
    return words.export()[name][part]


def table_of(model: LoadedModel, number: int = 0) -> Tensor:
    return model.encoders[number].token_embedding.weight.detach()


def average(table: Tensor) -> Tensor:
    return table[:-NUM_SPECIALS].norm(dim=1).mean()


def signs_and_padding() -> list[int]:
    """Every token that is no word: without a letter or number in it, and those that fill prompts up."""
    names = {index: TOKENIZE.name(index).removesuffix("</w>") for index in range(END_ID - 1)}
    plain = [index for index, name in names.items() if name.isascii() and not any(map(str.isalnum, name))]
    return [0, *plain, END_ID - 1, END_ID]


def test_each_vector_starts_as_one_tag_and_the_rest_as_long_as_words(sd1: LoadedModel) -> None:
    rows, table = rows_of(words_of(sd1)), table_of(sd1)
    long, hair, red = (table[TOKENIZE(word)[0]] for word in ("long", "hair", "red"))
    mean = (long + hair) / 2
    expected = mean / mean.norm() * (long.norm() + hair.norm()) / 2
    torch.testing.assert_close(rows[0], expected)
    assert torch.equal(rows[1], red)
    torch.testing.assert_close(rows[2].norm(), average(table))
    # A direction of chance is like no word.
    assert float((torch.nn.functional.normalize(table, dim=1) @ (rows[2] / rows[2].norm())).max()) < 0.9


def test_two_encoders_each_have_their_own(sdxl: LoadedModel) -> None:
    words = words_of(sdxl)
    for number, part in enumerate((TEXT, TEXT_2)):
        rows, table = rows_of(words, part), table_of(sdxl, number)
        assert rows.shape == (3, table.shape[1])
        assert torch.equal(rows[1], table[TOKENIZE("red")[0]])
    assert [part.name for part in words.parts()] == [f"words.zwx.{TEXT}", f"words.zwx.{TEXT_2}"]
    assert words.trained_roots() == {TEXT, TEXT_2}


def test_without_a_text_it_is_the_class() -> None:
    dog, cat = Concept(class_token="small dog"), Concept(token="zwx", class_token="cat")
    assert starting_concepts(Word(name="zwx"), (dog, cat)) == ["cat"]
    assert starting_concepts(Word(name="wug"), (dog, cat)) == ["small dog"]
    assert starting_concepts(Word(name="wug"), (Concept(),)) == []
    assert starting_concepts(Word(name="wug", start_as=" ;,. "), (dog,)) == []
    word = Word(name="wug", vectors=2, start_as="red_eyes, (hat:1.2), ..., boots")
    assert starting_concepts(word, ()) == ["red eyes", "hat 1 2", "boots"]
    assert left_out(word, ()) == ["boots"]


@examples(max_examples=50, deadline=None)
@given(text=st.text(alphabet=st.sampled_from("ab1é猫 ,_.;!'\"()[]:-|/\\@~*<>"), max_size=30))
def test_no_row_starts_as_a_sign_or_as_padding(text: str) -> None:
    """A table in which every row shows by its place which token it is."""
    table = torch.randn((END_ID + 1, 4), generator=torch.Generator().manual_seed(1))
    forbidden = signs_and_padding()
    concepts = concepts_of(text)
    used = [token for concept in concepts for token in TOKENIZE(concept)]
    assert not set(used) & set(forbidden)
    assert all(TOKENIZE(concept) for concept in concepts)
    rows = first_rows(concepts, 6, table, TOKENIZE, Draw(1, "word"))
    assert rows.shape == (6, 4) and bool(rows.isfinite().all())
    assert float(torch.cdist(rows, table[forbidden]).min()) > 1e-5


def test_a_file_goes_on_and_the_rest_is_new(sd1: LoadedModel, tmp_path: Path) -> None:
    width = table_of(sd1).shape[1]
    given_rows = 0.01 * torch.randn(2, width, generator=torch.Generator().manual_seed(3))
    path = tmp_path / "old.safetensors"
    write_embedding(path, Embedding("old", {TEXT: given_rows}))
    word = {"name": "zwx", "vectors": 3, "start_as": "red", "start_from": str(path)}
    rows = rows_of(words_of(sd1, words=[word]))
    assert torch.equal(rows[:2], given_rows)
    assert torch.equal(rows[2], table_of(sd1)[TOKENIZE("red")[0]])
    with pytest.raises(FileError, match="has 2 vectors, and zwx is set to 1") as caught:
        words_of(sd1, words=[word | {"vectors": 1}])
    assert "2 or more" in caught.value.todo
    write_embedding(path, Embedding("old", {TEXT: torch.zeros(1, width + 8)}))
    with pytest.raises(FileError, match="another family"):
        words_of(sd1, words=[word])


def test_no_row_grows_beyond_its_bound(sd1: LoadedModel) -> None:
    words = words_of(sd1, parts={**ALONE["parts"], "words": {"train": True, "max_norm": 1.25}})
    bound = 1.25 * float(average(table_of(sd1)))
    (part,) = words.parts()
    before = part.parameter.detach().clone()
    part.parameter.data[1] *= 40
    assert float(words.norms()[WORDS]) > 10
    assert int(words.limit_norms(0.0)) == 1
    assert float(part.parameter.detach().norm(dim=1).max()) <= bound
    assert float(words.norms()[WORDS]) == pytest.approx(1.25, rel=1e-5)
    torch.testing.assert_close(part.parameter[1] / part.parameter[1].norm(), before[1] / before[1].norm())
    assert torch.equal(part.parameter[[0, 2]], before[[0, 2]])
    assert int(words.limit_norms(0.0)) == 0
    # What has stopped stays as it is, and 0 is no bound.
    words.stop(WORDS)
    part.parameter.data[1] *= 40
    assert int(words.limit_norms(0.0)) == 0
    free = words_of(sd1, parts={**ALONE["parts"], "words": {"train": True, "max_norm": 0.0}})
    free.parts()[0].parameter.data *= 40
    assert int(free.limit_norms(0.0)) == 0 and float(free.norms()[WORDS]) > 10


def test_only_the_word_moves_the_prompt_and_only_while_it_is_there(sd1: LoadedModel) -> None:
    table = table_of(sd1).clone()
    words = words_of(sd1)
    known = Embeddings(words.at_work)
    with torch.no_grad():
        plain = encode_prompts(sd1.encoders, ["a zwx", "a cat"]).joined()
        told = encode_prompts(sd1.encoders, ["a zwx", "a cat"], embeddings=known).joined()
        assert not torch.equal(told[0], plain[0]) and torch.equal(told[1], plain[1])
        words.strength(0.0)
        assert torch.equal(encode_prompts(sd1.encoders, ["a zwx", "a cat"], embeddings=known).joined(), plain)
        words.strength(0.5)
        assert torch.equal(encode_prompts(sd1.encoders, ["a zwx", "a cat"], embeddings=known).joined(), told)
    states = encode_prompts(sd1.encoders, ["a zwx"], embeddings=known).joined()
    states.square().sum().backward()
    assert bool(words.parts()[0].parameter.grad.any())
    assert sd1.encoders[0].token_embedding.weight.grad is None
    words.eject()
    words.strength(1.0)
    with torch.no_grad():
        assert torch.equal(encode_prompts(sd1.encoders, ["a zwx", "a cat"], embeddings=known).joined(), plain)
    assert torch.equal(table_of(sd1), table)


def test_together_with_a_network_or_whole_weights(sd1: LoadedModel) -> None:
    trained = made(sd1, **ONE, parts={"words": {"train": True}, "text_encoder_1": {"train": False}})
    assert isinstance(trained, WithWords) and isinstance(network_in(trained), Attached)
    assert {part.part for part in trained.parts()} == {UNET, WORDS}
    assert trained.trained_roots() == {UNET, TEXT}
    state = {name: tensor.clone() for name, tensor in trained.state().items()}
    for part in trained.parts():
        part.parameter.data += 1
    trained.load(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in trained.state().items())
    trained.stop(WORDS)
    assert trained.trained_roots() == {UNET}
    trained.start(WORDS)
    assert trained.trained_roots() == {UNET, TEXT}
    assert set(trained.norms()) == {UNET, WORDS}
    trained.eject()
    whole = made(
        sd1,
        **ONE,
        network={"kind": "none"},
        parts={
            "words": {"train": True},
            "unet": {"blocks": ["mid"]},
            "text_encoder_1": {"train": False},
        },
    )
    assert isinstance(beside_words(whole), Whole) and network_in(whole) is None
    assert int(whole.limit_norms(1.0)) == 0
    whole.eject()
    network = made(sd1)
    assert words_in(network) is None and network_in(network) is network
    network.eject()
