"""For each setting, whether a run can go on with another value of it, and why or why not."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """`is_safe` may depend on the order of pictures: `if_same_order` is safe where that stayed the same."""

    is_safe: bool
    why: str
    if_same_order: bool = False


NO_EFFECT = Rule(True, "It does not touch what is trained.")
FROM_HERE = Rule(True, "It counts from here on; the steps before stay as they were trained.")
LENGTH = Rule(True, "The run is as long as said now, and the rates follow the new length.")
DIGITS = Rule(True, "Only the last digits of the result may differ.")
ALREADY = Rule(True, "What it brought is in the state already.")
SHAPE = Rule(False, "The trained weights in the state would not fit.")
STARTING_MODEL = Rule(False, "It changes the model that the state was trained on.")
OPTIMIZER = Rule(False, "What the optimizer remembers would not fit.")
ORDER = Rule(False, "The pictures would come in another order than the one that was begun.")
# Twice the processes with half of it are the same steps.
TOGETHER = Rule(False, "The pictures would come in another order than the one that was begun.", True)
PICTURES = Rule(False, "These would be other pictures in another order than the one that was begun.", True)
AVERAGE = Rule(False, "The average of the weights would begin in the middle, or be lost.")
DRAWN = Rule(False, "All noise and all timesteps are drawn from it.")

# Patterns of paths; the first that fits counts. A test holds that each setting has its line.
RULES: tuple[tuple[str, Rule], ...] = (
    ("model.base", ALREADY),  # the file's hash is compared on its own
    ("model.family", NO_EFFECT),
    ("model.*", STARTING_MODEL),
    ("concepts.*.name", NO_EFFECT),
    ("concepts.*.sample_prompts", NO_EFFECT),
    ("concepts.*.role", PICTURES),
    ("concepts.*.folder", PICTURES),
    ("concepts.*.subfolders", PICTURES),
    ("concepts.*.repeats", ORDER),
    ("concepts.*.class_folder", PICTURES),
    ("concepts.*.class_negative", PICTURES),
    ("concepts.*.override", PICTURES),
    ("concepts.*", FROM_HERE),
    ("pictures.resolution", ORDER),
    ("pictures.buckets", ORDER),
    ("pictures.bucket_*", ORDER),
    ("pictures.upscale", ORDER),
    ("pictures.exif_rotation", ORDER),
    ("pictures.crops_per_picture", ORDER),
    ("pictures.*", FROM_HERE),
    ("captions.*", FROM_HERE),
    ("class_pictures.relation", ORDER),
    ("class_pictures.surplus", ORDER),
    ("class_pictures.weight", FROM_HERE),
    ("class_pictures.fall", FROM_HERE),
    ("class_pictures.weight_min", FROM_HERE),
    ("class_pictures.target", FROM_HERE),
    ("class_pictures.batch_size", NO_EFFECT),
    ("class_pictures.*", PICTURES),
    ("network.*dropout", FROM_HERE),
    ("network.max_norm", FROM_HERE),
    ("network.plus_ratio*", FROM_HERE),
    ("network.start_from", ALREADY),
    ("network.*", SHAPE),
    ("parts.*.train", SHAPE),
    ("parts.*.blocks", SHAPE),
    ("parts.*.block_rates", SHAPE),
    ("parts.*.layer_rates", SHAPE),
    ("parts.*", FROM_HERE),
    ("words.*", SHAPE),
    ("optimizer.name", OPTIMIZER),
    ("optimizer.arguments", OPTIMIZER),
    ("optimizer.*", FROM_HERE),
    ("rates.*", FROM_HERE),
    ("ema.use", AVERAGE),
    ("ema.place", NO_EFFECT),
    ("ema.save", NO_EFFECT),
    ("ema.preview", NO_EFFECT),
    ("ema.*", FROM_HERE),
    ("loss.*", FROM_HERE),
    ("noise.zero_terminal", STARTING_MODEL),
    ("noise.*", FROM_HERE),
    ("draws.seed", DRAWN),
    ("draws.deterministic", DIGITS),
    ("precision.weights", SHAPE),
    ("precision.stochastic_rounding", FROM_HERE),
    ("precision.*", DIGITS),
    ("memory.latent_draw", FROM_HERE),
    ("memory.workers", NO_EFFECT),
    ("memory.*", DIGITS),
    ("length.train_for", LENGTH),
    ("length.whole_epochs", LENGTH),
    ("length.batch_size", ORDER),
    ("length.accumulation", TOGETHER),
    ("length.*", NO_EFFECT),
    ("saving.*", NO_EFFECT),
    ("previews.*", NO_EFFECT),
    ("validation.share", PICTURES),
    ("validation.seed", PICTURES),
    ("validation.*", NO_EFFECT),
    ("logging.*", NO_EFFECT),
    ("metadata.*", NO_EFFECT),
)


def rule_of(path: str) -> Rule | None:
    """The rule for the setting at a path; numbers of entries may stand in it."""
    return next((rule for pattern, rule in RULES if fnmatch.fnmatchcase(path, pattern)), None)
