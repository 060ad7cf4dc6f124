"""Twenty steps of training tiny models, and the losses that they gave when the curves were committed.

`python -m tests.training.curves`, from the repository's root, writes them anew: do so only where the
mathematics is meant to change, and say it in the commit.
"""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path

import torch

from lib_dreambooth.adapters.build import attach
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.models.encode import TextStyle
from lib_dreambooth.models.read import read_model
from lib_dreambooth.training.encoding import caption_states
from lib_dreambooth.training.micro_step import micro_step
from lib_dreambooth.training.objective.objective import Objective
from tests.models.tiny import tiny_sd1, tiny_sd2, tiny_sdxl
from tests.training.made_batches import made_batch, made_run

CURVES = Path(__file__).resolve().parents[1] / "golden" / "loss-curves.json"
NUM_STEPS = 20
# Small gradients would else become whole steps, and rounding would grow with each of them.
EPSILON = 1e-1
# Of 8 x 8 the middle of the UNet sees one place, where a norm over a single number is a matter of rounding.
LATENT_HW = (8, 16)
STYLE = TextStyle(emphasis="None")
FAMILIES = {
    "sd1": (tiny_sd1, "noise"),
    "sd2": (tiny_sd2, "velocity"),
    "sdxl": (tiny_sdxl, "noise"),
}
NETWORKS: dict[str, tuple[dict[str, object], float]] = {
    "lora": ({"network.kind": "lora", "network.rank": 4, "network.conv_rank": 2}, 6e-2),
    "whole": ({"network.kind": "none"}, 6e-3),
}
NAMES = [f"{family} {network}" for family in FAMILIES for network in NETWORKS]


def curve(name: str, folder: Path) -> list[float]:
    """The loss of each step, with every picture of a batch of three seen at each; double precision."""
    family, network = name.split()
    build, prediction = FAMILIES[family]
    changes, rate = NETWORKS[network]
    text = {"parts.text_encoder_1.train": True, "parts.text_encoder_2.train": True}
    # A narrow range of noise, so that the fall shows and not the draws.
    levels = {"noise.first_timestep": 300, "noise.last_timestep": 400}
    run = made_run({**changes, **text, **levels, "model.prediction": prediction})
    model = read_model(build(folder), dtype=torch.float64)
    names = names_of(model.source.kind)
    trained = attach(run, model.modules, names, family, rules=model.rules, dtype=torch.float64)
    parameters = [part.parameter for part in trained.parts()]
    optimizer = torch.optim.AdamW(parameters, lr=rate, eps=EPSILON, foreach=False)
    objective = Objective(run, model)
    losses = []
    for step in range(NUM_STEPS):
        batch = made_batch(visit=step, latent_hw=LATENT_HW)
        total = micro_step(model, objective, batch, partial(caption_states, model, style=STYLE)).total
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(total.detach()))
    return losses


def write_curves() -> None:
    """All curves as they are now."""
    with tempfile.TemporaryDirectory() as folder:
        found = {name: curve(name, Path(folder)) for name in NAMES}
    CURVES.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_curves()
