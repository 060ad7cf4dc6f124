"""Embeddings in every form that hosts read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.checkpoint import identify
from lib_dreambooth.formats.container import open_tensors
from lib_dreambooth.formats.embedding import Embedding, read_embedding, vectors_of, write_embedding
from lib_dreambooth.formats.safetensors_write import write_safetensors

ONE = torch.arange(3 * 768.0).reshape(3, 768)
TWO = torch.arange(3 * 1280.0).reshape(3, 1280)


@pytest.mark.parametrize("name", ["cat.safetensors", "cat.pt", "cat.bin"])
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_written_embeddings_come_back(tmp_path: Path, name: str, family: str) -> None:
    vectors = {"text_encoder": ONE} if family == "sd1" else {"text_encoder": ONE, "text_encoder_2": TWO}
    write_embedding(tmp_path / name, Embedding("cat", vectors, step=70))
    assert (
        identify(tmp_path / name).title()
        == f"an embedding of {'SDXL' if family == 'sdxl' else 'Stable Diffusion 1'}"
    )
    found = read_embedding(tmp_path / name)
    assert found.name == "cat"
    assert found.step == (70 if family == "sd1" and name != "cat.safetensors" else None)
    assert found.num_vectors == 3
    assert {part: tensor.tolist() for part, tensor in found.vectors.items()} == {
        part: tensor.tolist() for part, tensor in vectors.items()
    }


def test_the_webui_s_form_is_what_it_reads(tmp_path: Path) -> None:
    write_embedding(tmp_path / "cat.pt", Embedding("cat", {"text_encoder": ONE}, step=5), dtype=torch.float16)
    stored = torch.load(tmp_path / "cat.pt", weights_only=True)
    assert stored["string_to_param"]["*"].dtype == torch.float16
    assert {key: stored[key] for key in ("string_to_token", "name", "step")} == {
        "string_to_token": {"*": 265}, "name": "cat", "step": 5,
    }  # fmt: skip


def test_precision_and_metadata(tmp_path: Path) -> None:
    path = tmp_path / "cat.safetensors"
    write_embedding(path, Embedding("cat", {"text_encoder": ONE}), dtype=torch.bfloat16, metadata={"a": "b"})
    with open_tensors(path) as file:
        assert (file.keys(), file.dtype("emb_params"), file.metadata) == (
            ["emb_params"],
            torch.bfloat16,
            {"a": "b"},
        )


def test_a_diffusers_concept_and_a_single_row(tmp_path: Path) -> None:
    torch.save({"<cat>": ONE[0]}, tmp_path / "learned_embeds.bin")
    found = read_embedding(tmp_path / "learned_embeds.bin")
    assert (found.name, found.widths, found.num_vectors) == ("learned_embeds", (768,), 1)


def test_a_parameter_in_the_webui_s_form(tmp_path: Path) -> None:
    parameters = {"*": torch.nn.Parameter(ONE, requires_grad=True)}
    torch.save(
        {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": parameters}, tmp_path / "x.pt"
    )
    assert read_embedding(tmp_path / "x.pt").vectors["text_encoder"].tolist() == ONE.tolist()


@pytest.mark.parametrize("is_zip", [True, False])
def test_the_first_script_s_module_of_parameters(tmp_path: Path, is_zip: bool) -> None:
    parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(ONE)})
    stored = {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": parameters}
    torch.save(stored, tmp_path / "x.pt", _use_new_zipfile_serialization=is_zip)
    assert read_embedding(tmp_path / "x.pt").vectors["text_encoder"].tolist() == ONE.tolist()


def test_sdxl_s_two_encoders_beside_each_other() -> None:
    vectors = vectors_of({"emb_params": torch.cat([ONE, TWO], dim=1)})
    assert torch.equal(vectors["text_encoder"], ONE)
    assert torch.equal(vectors["text_encoder_2"], TWO)


def test_words_bundled_in_a_lora() -> None:
    assert vectors_of({"string_to_param.*": ONE})["text_encoder"] is ONE
    assert set(vectors_of({"clip_l": ONE, "clip_g": TWO})) == {"text_encoder", "text_encoder_2"}


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"clip_l": ONE, "clip_g": TWO[:2]}, "has 2 and 3 vectors"),
        ({"emb_params": ONE * float("nan")}, "NaN"),
        ({"a.lora_up.weight": ONE, "a.lora_down.weight": ONE}, "is a LoRA, and an embedding is needed"),
        ({"emb_params": torch.zeros(2, 0)}, "known"),
        ({"weight": torch.zeros(600, 768)}, "known"),
    ],
)
def test_bad_embeddings_are_a_sentence(tmp_path: Path, tensors: dict[str, torch.Tensor], said: str) -> None:
    write_safetensors(tmp_path / "x.safetensors", tensors)
    with pytest.raises(FileError, match=said):
        read_embedding(tmp_path / "x.safetensors")
