"""The endings of keys in LoRA and LyCORIS files."""

from __future__ import annotations

from collections.abc import Iterable

from lib_dreambooth.formats.links import Shapes

# Ending in the file -> name of the part. Other tools' spellings of plain LoRA come out as kohya's.
PARTS: dict[str, str] = {
    ".lora_up.weight": "lora_up",
    ".lora_down.weight": "lora_down",
    ".lora_mid.weight": "lora_mid",
    ".lora_B.weight": "lora_up",
    ".lora_A.weight": "lora_down",
    ".lora_B.default.weight": "lora_up",
    ".lora_A.default.weight": "lora_down",
    ".lora.up.weight": "lora_up",
    ".lora.down.weight": "lora_down",
    "_lora.up.weight": "lora_up",
    "_lora.down.weight": "lora_down",
    ".lora_linear_layer.up.weight": "lora_up",
    ".lora_linear_layer.down.weight": "lora_down",
    ".hada_w1_a": "hada_w1_a",
    ".hada_w1_b": "hada_w1_b",
    ".hada_w2_a": "hada_w2_a",
    ".hada_w2_b": "hada_w2_b",
    ".hada_t1": "hada_t1",
    ".hada_t2": "hada_t2",
    ".lokr_w1": "lokr_w1",
    ".lokr_w1_a": "lokr_w1_a",
    ".lokr_w1_b": "lokr_w1_b",
    ".lokr_w2": "lokr_w2",
    ".lokr_w2_a": "lokr_w2_a",
    ".lokr_w2_b": "lokr_w2_b",
    ".lokr_t1": "lokr_t1",
    ".lokr_t2": "lokr_t2",
    ".on_input": "on_input",
    ".diff": "diff",
    ".diff_b": "diff_b",
    ".w_norm": "w_norm",
    ".b_norm": "b_norm",
    ".a1.weight": "a1",
    ".a2.weight": "a2",
    ".b1.weight": "b1",
    ".b2.weight": "b2",
    ".bm1.weight": "bm1",
    ".bm2.weight": "bm2",
    ".oft_blocks": "oft_blocks",
    ".oft_diag": "oft_diag",
    ".rescale": "rescale",
    ".dora_scale": "dora_scale",
    ".lora_magnitude_vector": "dora_scale",
    ".alpha": "alpha",
    ".scale": "scale",
    ".scalar": "scalar",
}
# Part -> kind of adapter; parts that go with any kind are not here.
KINDS: dict[str, str] = {
    "lora_up": "lora",
    "lora_down": "lora",
    "hada_w1_a": "loha",
    "lokr_w1": "lokr",
    "lokr_w1_a": "lokr",
    "on_input": "ia3",
    "diff": "full",
    "w_norm": "norm",
    "a1": "glora",
    "oft_blocks": "oft",
    "oft_diag": "oft",
    "dora_scale": "dora",
}
BUNDLED = "bundle_emb."


def _by_tail() -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for ending in PARTS:
        grouped.setdefault(ending.rpartition(".")[2], []).append(ending)
    return grouped


# Most keys of a checkpoint are told apart by what follows their last dot.
_ENDINGS = _by_tail()


def split_key(key: str) -> tuple[str, str] | None:
    """Module and part of an adapter's key, or None where it is none.

    `..._to_q_lora.up.weight` of early diffusers belongs to module `..._to_q`.
    """
    for ending in _ENDINGS.get(key.rpartition(".")[2], ()):
        if key.endswith(ending) and len(key) > len(ending):
            return key.removesuffix(ending), PARTS[ending]
    return None


def adapter_kinds(shapes: Shapes) -> tuple[str, ...]:
    """The kinds of adapter in a file, sorted; empty where it is none."""
    found = set()
    for key, shape in shapes.items():
        split = split_key(key)
        if split is None:
            continue
        kind = KINDS.get(split[1])
        if kind == "lora" and split[1] == "lora_down" and len(shape) == 4 and shape[-1] > 1:
            kind = "locon"
        if kind:
            found.add(kind)
    if "locon" in found:
        # LoCon is plain LoRA with convolutions.
        found.discard("lora")
    return tuple(sorted(found))


def has_bundled_embedding(keys: Iterable[str]) -> bool:
    return any(key.startswith(BUNDLED) for key in keys)
