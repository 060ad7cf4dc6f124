"""Events as points of curves: name, value, step."""

from __future__ import annotations

import math

from lib_dreambooth.runs.events import Event, Step, Validated


def points(event: Event) -> dict[str, float]:
    """The values of an event under the names that curves have; other events have none."""
    if isinstance(event, Validated):
        return {f"validation/{name}": value for name, value in event.curves.items()}
    if not isinstance(event, Step):
        return {}
    found = {"loss/step": event.loss, "epoch": event.epoch}
    optional = {
        "loss/smoothed": event.smoothed,
        "gradient/norm": event.grad_norm,
        "speed/steps_per_second": event.steps_per_second,
    }
    found |= {name: value for name, value in optional.items() if value is not None}
    found |= {f"rate/{part}": rate for part, rate in event.rates.items()}
    found |= {f"weights/{part}": norm for part, norm in event.weight_norms.items()}
    return found | {f"memory/{kind}_gb": count / 1e9 for kind, count in event.memory.items()}


def finite_points(event: Event) -> dict[str, float]:
    """Without what is no number, which some programs cannot show."""
    return {name: value for name, value in points(event).items() if math.isfinite(value)}
