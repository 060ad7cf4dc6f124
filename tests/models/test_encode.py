"""Prompts to states, against a plain CLIP and the hosts' rules written out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.formats.checkpoint import read_checkpoint
from lib_dreambooth.formats.folder_write import write_folder
from lib_dreambooth.formats.keymap import TEXT, TEXT_2
from lib_dreambooth.models.encode import (
    Embeddings,
    TextStyle,
    cut,
    encode_prompts,
    tokens_of,
    unpadded_length,
)
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.models.read import read_model
from lib_dreambooth.models.tokenizer import END_ID, START_ID, clip_tokenizer
from tests.models import tiny
from tests.models.plain_clip import States, open_clip_states, openai_states

L_PREFIX = "conditioner.embedders.0.transformer."
G_PREFIX = "conditioner.embedders.1.model."


def part_of(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def row(text: str, pad: int = END_ID) -> Tensor:
    """One short text as the encoder gets it."""
    ids = [START_ID, *clip_tokenizer()(text), END_ID]
    return torch.tensor([ids + [pad] * (77 - len(ids))])


def clip_l(ids: Tensor) -> States:
    return openai_states(part_of(tiny.sd1_tensors(), "cond_stage_model.transformer."), ids)


def clip_h(ids: Tensor) -> States:
    return open_clip_states(part_of(tiny.sd2_tensors(), "cond_stage_model.model."), ids)


def last_norm_of_sd1(states: Tensor) -> Tensor:
    norm = part_of(tiny.sd1_tensors(), "cond_stage_model.transformer.text_model.final_layer_norm.")
    return F.layer_norm(states, states.shape[-1:], norm["weight"], norm["bias"])


@torch.no_grad()
def encoded(model: LoadedModel, *prompts: str, style: TextStyle | None = None) -> Tensor:
    return encode_prompts(model.encoders, prompts, style or TextStyle()).joined()


def test_sd1_uses_the_last_layer(models: dict[str, LoadedModel]) -> None:
    expected = clip_l(row("a red cat")).last
    assert torch.allclose(encoded(models["sd1"], "a red cat"), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["webui", "kohya"])
@pytest.mark.parametrize("skip", [2, 3])
def test_sd1_skips_layers_and_normalises(models: dict[str, LoadedModel], kind: str, skip: int) -> None:
    expected = last_norm_of_sd1(clip_l(row("a red cat")).layers[-skip])
    style = TextStyle(kind, clip_skip=skip)
    assert torch.allclose(encoded(models["sd1"], "a red cat", style=style), expected, atol=1e-5)


def test_sd2_uses_the_layer_before_the_last_normalised(models: dict[str, LoadedModel]) -> None:
    states = clip_h(row("a red cat", pad=0)).layers[-2]
    norm = part_of(tiny.sd2_tensors(), "cond_stage_model.model.ln_final.")
    expected = F.layer_norm(states, states.shape[-1:], norm["weight"], norm["bias"])
    assert torch.allclose(encoded(models["sd2"], "a red cat"), expected, atol=1e-5)
    # The WebUI knows no clip skip there; kohya's scripts count on from it.
    skipped = encoded(models["sd2"], "a red cat", style=TextStyle(clip_skip=2))
    assert torch.allclose(skipped, expected, atol=1e-5)
    deeper = F.layer_norm(clip_h(row("a red cat", pad=0)).layers[-3], (64,), norm["weight"], norm["bias"])
    skipped = encoded(models["sd2"], "a red cat", style=TextStyle("kohya", clip_skip=2))
    assert torch.allclose(skipped, deeper, atol=1e-5)


@pytest.mark.slow
def test_sd2_folders_lack_the_unused_layer(tmp_path: Path, models: dict[str, LoadedModel]) -> None:
    """diffusers' folders hold one layer less, so there the last one is used."""
    model = models["sd2"]
    write_folder(tmp_path / "folder", read_checkpoint(model.source.path).parts, model.source.kind)
    folder = read_model(tmp_path / "folder", parts=(TEXT,))
    assert len(folder.encoders[0].inner.encoder.layers) == 2
    assert folder.encoders[0].rule.layer == 1
    assert torch.allclose(encoded(folder, "a red cat"), encoded(model, "a red cat"), atol=1e-5)


def test_sdxl_joins_two_encoders_without_norm(models: dict[str, LoadedModel]) -> None:
    tensors = tiny.sdxl_tensors()
    first = openai_states(part_of(tensors, L_PREFIX), row("a red cat"))
    second = open_clip_states(part_of(tensors, G_PREFIX), row("a red cat", pad=0))
    with torch.no_grad():
        found = encode_prompts(models["sdxl"].encoders, ["a red cat"], TextStyle(clip_skip=2))
    assert torch.allclose(found.joined(), torch.cat([first.layers[-2], second.layers[-2]], dim=-1), atol=1e-5)
    assert found.pooled is not None and second.pooled is not None
    assert torch.allclose(found.pooled, second.pooled, atol=1e-5)
    nothing = found.zeroed()
    assert not nothing.joined().any() and nothing.pooled is not None and not nothing.pooled.any()
    assert nothing.joined().shape == found.joined().shape


def test_long_prompts_are_encoded_chunk_by_chunk(models: dict[str, LoadedModel]) -> None:
    states = encoded(models["sdxl"], "cat " * 100)
    assert states.shape == (1, 154, 128)
    with torch.no_grad():
        whole = encode_prompts(models["sdxl"].encoders, ["cat " * 100])
        first, second = (encode_prompts(models["sdxl"].encoders, ["cat " * n]) for n in (75, 25))
    assert torch.allclose(whole.joined(), torch.cat([first.joined(), second.joined()], dim=1), atol=1e-5)
    assert whole.pooled is not None and first.pooled is not None
    assert torch.allclose(whole.pooled, first.pooled, atol=1e-5)


def test_short_prompts_are_filled_up_beside_long_ones(models: dict[str, LoadedModel]) -> None:
    both = encoded(models["sd1"], "cat " * 100, "a red cat")
    assert torch.allclose(both[1, :77], encoded(models["sd1"], "a red cat")[0], atol=1e-5)
    assert torch.allclose(both[1, 77:], encoded(models["sd1"], "")[0], atol=1e-5)


def test_emphasis_scales_and_restores_the_mean(models: dict[str, LoadedModel]) -> None:
    model = models["sd1"]
    plain = encoded(model, "a red cat")
    weights = torch.ones(77)
    weights[2] = 1.5
    scaled = plain * weights[:, None]
    by_mode = {
        mode: encoded(model, "a (red:1.5) cat", style=TextStyle(emphasis=mode))
        for mode in ("Original", "No norm", "Ignore", "None")
    }
    assert torch.allclose(by_mode["No norm"], scaled, atol=1e-5)
    assert torch.allclose(by_mode["Original"], scaled * plain.mean() / scaled.mean(), atol=1e-5)
    assert torch.equal(by_mode["Ignore"], plain)
    assert torch.equal(by_mode["None"], encoded(model, r"a \(red:1.5\) cat"))


def test_emphasis_of_one_prompt_does_not_touch_another(models: dict[str, LoadedModel]) -> None:
    together = encoded(models["sd1"], "a (red:1.5) cat", "a dog")
    assert torch.allclose(together[0], encoded(models["sd1"], "a (red:1.5) cat")[0], atol=1e-5)
    assert torch.allclose(together[1], encoded(models["sd1"], "a dog")[0], atol=1e-5)


def test_kohya_stitches_chunks(models: dict[str, LoadedModel]) -> None:
    prompt = "cat " * 100
    chunks = [
        torch.tensor([[START_ID, *[2368] * 75, END_ID]]),
        torch.tensor([[START_ID, *[2368] * 25, *[END_ID] * 51]]),
        torch.tensor([[START_ID, *[END_ID] * 76]]),
    ]
    states = [clip_l(ids).last for ids in chunks]
    expected = torch.cat([states[0][:, :76], states[1][:, 1:76], states[2][:, 1:]], dim=1)
    found = encoded(models["sd1"], prompt, style=TextStyle("kohya", emphasis="None", max_tokens=225))
    assert found.shape[1] == 227
    assert torch.allclose(found, expected, atol=1e-5)


def test_one_chunk_is_the_same_in_both_styles(models: dict[str, LoadedModel]) -> None:
    for family in ("sd1", "sdxl"):
        kohya = encoded(models[family], "a (red:1.5) cat", style=TextStyle("kohya", emphasis="No norm"))
        webui = encoded(models[family], "a (red:1.5) cat", style=TextStyle(emphasis="No norm"))
        assert torch.equal(kohya, webui)


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_words_stand_for_their_vectors(models: dict[str, LoadedModel], family: str) -> None:
    encoders = models[family].encoders
    ids = [clip_tokenizer()(word)[0] for word in ("red", "cat", "mat")]
    vectors = {encoder.part: encoder.token_embedding.weight[ids].clone() for encoder in encoders}
    embeddings = Embeddings({"my thing": vectors, "my": {part: rows[:1] for part, rows in vectors.items()}})
    with torch.no_grad():
        named = encode_prompts(encoders, ["a (my thing:1.2), my"], TextStyle(), embeddings)
        spelled = encode_prompts(encoders, ["a (red cat mat:1.2), red"])
    assert torch.equal(named.joined(), spelled.joined())
    assert not any(encoder.token_embedding._forward_hooks for encoder in encoders)


def test_more_layers_than_there_are_cannot_be_skipped(models: dict[str, LoadedModel]) -> None:
    with pytest.raises(UserError, match="has only 3 layers"):
        encoded(models["sd1"], "a red cat", style=TextStyle(clip_skip=5))
    assert encoded(models["sd1"], "a red cat", style=TextStyle(clip_skip=4)).shape == (1, 77, 64)


def test_gradients_reach_the_vectors_and_the_encoder(files: dict[str, Path]) -> None:
    model = read_model(files["sdxl"], parts=(TEXT, TEXT_2))
    vectors = {encoder.part: torch.randn(2, encoder.width).requires_grad_() for encoder in model.encoders}
    weights = [encoder.inner.encoder.layers[0].mlp.fc1.weight.requires_grad_() for encoder in model.encoders]
    states = encode_prompts(model.encoders, ["a sks", "dog"], TextStyle(), Embeddings({"sks": vectors}))
    (states.joined().square().mean() + states.pooled.square().mean()).backward()
    assert all(
        tensor.grad is not None and bool(tensor.grad.any()) for tensor in [*vectors.values(), *weights]
    )


def test_words_cut_by_a_moved_comma_stay_inside_their_row(models: dict[str, LoadedModel]) -> None:
    """The WebUI leaves vectors in the row that lost their places; the rest of the row then ends early."""
    encoder = models["sd1"].encoders[0]
    vectors = torch.randn(30, encoder.width)
    embeddings = Embeddings({"sks": {TEXT: vectors}})
    prompt = "cat " * 57 + ", sks" + " dog" * 3
    with torch.no_grad():
        states = encode_prompts([encoder], [prompt], TextStyle(comma_backtrack=74), embeddings)
    assert states.joined().shape[1] == 154


def test_without_padding_prompts_end_where_they_end(models: dict[str, LoadedModel]) -> None:
    ids = torch.tensor([[START_ID, *clip_tokenizer()("a red cat"), END_ID]])
    length = unpadded_length(["a red cat", "cat"], TextStyle())
    assert length == ids.shape[1] == 5
    with torch.no_grad():
        found = encode_prompts(models["sd1"].encoders, ["a red cat"]).cut(length).joined()
    assert torch.allclose(found, clip_l(ids).last, atol=1e-5)


@pytest.mark.parametrize(("kind", "length"), [("webui", 77 + 27), ("kohya", 102)])
def test_the_end_of_a_long_prompt(kind: str, length: int) -> None:
    assert unpadded_length(["", "cat " * 100], TextStyle(kind, max_tokens=150)) == length


def test_a_word_of_several_vectors_takes_as_many_places() -> None:
    """What is cut off, and how far a prompt is filled up, goes by places and never through a word."""
    known = Embeddings({"zwx": {"text_encoder": torch.zeros(4, 8)}})
    words, style = known.words(), TextStyle()
    assert unpadded_length(["a zwx"], style, known) == 2 + 1 + 4
    assert unpadded_length(["a zwx"], TextStyle("kohya"), known) == 2 + 1 + 4
    pieces = tokens_of("a zwx, red", style)
    length = len(pieces[0].ids)
    assert cut(pieces, 0, words) == pieces and cut(pieces, 7, words) == pieces
    assert cut(pieces, 4, words)[0].ids == pieces[0].ids[:1]
    assert cut(pieces, 5, words)[0].ids == pieces[0].ids[: length - 2]
    # Nothing behind what was lost comes back in.
    both = [*pieces, *tokens_of("blue", style)]
    assert [piece.ids for piece in cut(both, 2, words)] == [pieces[0].ids[:1], ()]
