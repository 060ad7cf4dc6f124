"""Settings of runs that train words."""

from __future__ import annotations

from typing import Any

from tests.training.made_runs import joined

WORD: dict[str, Any] = {"words": [{"name": "zwx", "vectors": 3, "start_as": "purple ring"}]}
FROZEN: dict[str, Any] = {"unet": {"train": False}, "text_encoder_1": {"train": False}}
# Words alone: no network, no weights.
ALONE: dict[str, Any] = joined(
    WORD, {"network": {"kind": "none"}, "parts": {**FROZEN, "words": {"train": True, "rate": 5e-3}}}
)
# Words and a network, text encoder included.
PAIRED: dict[str, Any] = joined(
    WORD,
    {
        "network": {"rank": 4, "alpha": 3.0, "dropout": 0.1},
        "rates": {"learning_rate": 2e-3},
        "parts": {"text_encoder_1": {"rate": 1e-3}, "words": {"train": True, "rate": 5e-3}},
    },
)
