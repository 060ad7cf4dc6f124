"""The tokenizer in the form of files that transformers reads without a network."""

from __future__ import annotations

import json
from typing import Any

from lib_dreambooth.formats.keymap import TEXT, TEXT_2
from lib_dreambooth.models.families import FAMILIES
from lib_dreambooth.models.tokenizer import clip_tokenizer

NUM_TOKENS = 77
START, END = "<|startoftext|>", "<|endoftext|>"
# OpenCLIP's encoders were trained with token 0, "!", behind the end.
OPEN_CLIP_PADDING = "!"
FOLDERS = {TEXT: "tokenizer", TEXT_2: "tokenizer_2"}


def tokenizer_files(padding: str = END) -> dict[str, bytes]:
    """Name to content."""
    vocabulary, merges = clip_tokenizer().tables()
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": padding}
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": NUM_TOKENS, "do_lower_case": True}
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    return {
        "vocab.json": _json(vocabulary),
        "merges.txt": ("\n".join(lines) + "\n").encode("utf-8"),
        "special_tokens_map.json": _json(special),
        "tokenizer_config.json": _json(config | special),
    }


def folder_tokenizers(family: str) -> dict[str, bytes]:
    """The tokenizers of a diffusers folder, by their path in it."""
    found = {}
    for part in FAMILIES[family].text:
        is_open_clip = part == TEXT_2 or family == "sd2"
        files = tokenizer_files(OPEN_CLIP_PADDING if is_open_clip else END)
        found.update({f"{FOLDERS[part]}/{name}": content for name, content in files.items()})
    return found


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8")
