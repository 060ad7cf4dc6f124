"""Settings of every kind of network, small."""

from __future__ import annotations

from typing import Any

CONV = {"conv_rank": 2, "conv_alpha": 0.7}
KINDS: dict[str, dict[str, Any]] = {
    "loha": {"kind": "loha", "rank": 3, "alpha": 1.5, **CONV},
    "loha tucker": {"kind": "loha", "rank": 3, "alpha": 1.5, **CONV, "tucker": True},
    "loha scalar": {"kind": "loha", "rank": 3, "alpha": 1.5, "scalar": True},
    "lokr": {"kind": "lokr", "rank": 2, "alpha": 1.0, **CONV},
    "lokr tucker": {"kind": "lokr", "rank": 1, "alpha": 1.0, **CONV, "factor": 2, "tucker": True},
    "lokr both": {"kind": "lokr", "rank": 2, "alpha": 1.0, "factor": 8, "decompose_both": True},
    "lokr whole": {"kind": "lokr", "rank": 64, "alpha": 1.0},
    "lokr scalar": {"kind": "lokr", "rank": 2, "alpha": 1.0, "scalar": True},
    "ia3": {"kind": "ia3"},
    "oft": {"kind": "oft", "rank": 8},
    "oft bound": {"kind": "oft", "rank": 4, "constraint": 0.005, "rescaled": True},
    "glora": {"kind": "glora", "rank": 3, "alpha": 1.5, **CONV},
    "full": {"kind": "full", "train_norms": True},
    "dora": {"kind": "lora", "rank": 3, "alpha": 1.5, **CONV, "decompose": True},
    "dora loha": {"kind": "loha", "rank": 3, "alpha": 1.5, "decompose": True},
    "dora lokr": {"kind": "lokr", "rank": 2, "alpha": 1.0, "decompose": True},
}
# Layers of all sorts, and few of them.
FEW = {
    "include": [
        "unet.mid*",
        "unet.down_blocks.0.attentions*",
        "unet.down_blocks.0.downsamplers*",
        "text_encoder*.layers.1.*",
    ]
}


def few(kind: str) -> dict[str, Any]:
    """A kind's settings on few layers."""
    patterns = FEW["include"]
    if not KINDS[kind].get("conv_rank"):
        patterns = [pattern for pattern in patterns if "samplers" not in pattern]
    return {**KINDS[kind], "include": patterns}
