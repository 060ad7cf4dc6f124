"""Where kohya's scripts do other than their options say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lib_dreambooth.settings.recipes.kohya.scripts import READ_BY, SCRIPT_NAMES, is_sdxl, reads
from lib_dreambooth.settings.recipes.sheet import Entry, Gap, Sheet
from lib_dreambooth.settings.recipes.turn import Unreadable, number


@dataclass(frozen=True)
class Habit:
    """Something the scripts do; `run` repeats it, `meant` does what the option says."""

    topic: str
    happens: Callable[[Sheet], bool]
    tool: str
    meant: str
    run: dict[str, Any] = field(default_factory=dict)
    right: dict[str, Any] = field(default_factory=dict)
    of_data: bool = False


def maybe_sdxl(sheet: Sheet) -> bool:
    return is_sdxl(sheet) is not False


def has_buckets(sheet: Sheet) -> bool:
    return sheet.values.get("pictures.buckets") is True


def always(sheet: Sheet) -> bool:
    return True


def weighs_by_noise(sheet: Sheet) -> bool:
    names = (
        "min_snr_gamma",
        "debiased_estimation_loss",
        "scale_v_pred_loss_like_noise_pred",
        "v_pred_like_loss",
    )
    return sheet.is_on("zero_terminal_snr") and any(sheet.get(name) not in (None, False, 0) for name in names)


def splits_tags(sheet: Sheet) -> bool:
    moves = sheet.is_on("shuffle_caption") or (sheet.number("caption_tag_dropout_rate") or 0) > 0
    return moves and sheet.get("caption_separator", ",") != ","


def on(*names: str) -> Callable[[Sheet], bool]:
    """Whether any of some options is on or above 0."""
    return lambda sheet: any(sheet.is_on(name) or (sheet.number(name) or 0) > 0 for name in names)


def given(name: str) -> Callable[[Sheet], bool]:
    """Whether an option has a value."""
    return lambda sheet: sheet.given(name)


HABITS = (
    Habit(
        "prediction type",
        lambda sheet: not sheet.is_on("v_parameterization"),
        "it takes every model for one that predicts noise unless v_parameterization is set.",
        "what the checkpoint was made for; it is read from the file.",
        {"model.prediction": "noise"},
        {"model.prediction": "auto"},
    ),
    Habit(
        "crop coordinates of SDXL",
        maybe_sdxl,
        "it tells the model a cut on the wrong side of the picture.",
        "the true cut.",
        {"pictures.size_ids": "kohya"},
        {"pictures.size_ids": "true"},
    ),
    Habit(
        "choice of buckets",
        has_buckets,
        "it compares width by height as plain numbers, which cuts tall pictures more than wide ones.",
        "the bucket of the nearest shape.",
        {"pictures.bucket_rule": "kohya"},
        {"pictures.bucket_rule": "nearest"},
        of_data=True,
    ),
    Habit(
        "photos turned by their camera's mark",
        always,
        "it ignores the mark, so that such photos lie on their side.",
        "upright pictures.",
        {"pictures.exif_rotation": False},
        {"pictures.exif_rotation": True},
        of_data=True,
    ),
    Habit(
        "transparent pictures",
        lambda sheet: not sheet.is_on("alpha_mask"),
        "it trains on whatever colour is hidden under the transparency.",
        "pictures on a background; class pictures stay as they were trained there.",
        {"pictures.alpha": "drop"},
        {"pictures.alpha": "composite"},
        of_data=True,
    ),
    Habit(
        "weights by noise with zero terminal SNR",
        weighs_by_noise,
        "it looks the noise ratio up in the table from before the change.",
        "the ratio that is trained on.",
        {"loss.snr_of": "kohya"},
        {"loss.snr_of": "trained"},
    ),
    Habit(
        "masks",
        on("masked_loss", "alpha_mask"),
        "it averages over the whole picture, so that small subjects hardly count.",
        "the average over the mask.",
        {"loss.mask_average": "picture"},
        {"loss.mask_average": "mask"},
    ),
    Habit(
        "separator of tags",
        splits_tags,
        "it joins moved tags with a comma whatever the separator is.",
        "the separator.",
        {"captions.rejoin": "comma"},
        {"captions.rejoin": "separator"},
        of_data=True,
    ),
    Habit(
        "empty captions every N epochs",
        on("caption_dropout_every_n_epochs"),
        "it also empties the first batch of every worker in each epoch; that is not repeated.",
        "every Nth epoch and nothing else.",
        of_data=True,
    ),
    Habit(
        "class pictures beyond the number needed",
        lambda sheet: sheet.values.get("class_pictures.relation") == "mixed",
        "it always leaves out the same ones.",
        "all of them in turn.",
        {"class_pictures.surplus": "leave out"},
        {"class_pictures.surplus": "rotate"},
        of_data=True,
    ),
    Habit(
        "cached latents",
        on("cache_latents", "cache_latents_to_disk"),
        "it draws the encoder's noise once and keeps it for the whole run.",
        "a fresh draw at every visit, as without a cache.",
        {"memory.latent_draw": "frozen"},
        {"memory.latent_draw": "fresh"},
    ),
    Habit(
        "captions over 75 tokens",
        lambda sheet: (sheet.number("max_token_length") or 0) > 75,
        "it joins the parts without the marks between them, which the WebUI does not when it draws.",
        "what the WebUI will do.",
        {"captions.long_prompts": "kohya"},
        {"captions.long_prompts": "webui"},
    ),
    Habit(
        "precision of the noise",
        lambda sheet: sheet.get("mixed_precision", "no") in ("fp16", "bf16"),
        "it adds noise in half precision or not, depending on the kind of cache; that is not repeated.",
        "fp32.",
    ),
    Habit(
        "weights in half precision",
        on("full_fp16", "full_bf16"),
        "it rounds every step to the nearest number, so that small ones are lost.",
        "every step counts (stochastic rounding).",
        {"precision.stochastic_rounding": False},
        {"precision.stochastic_rounding": True},
    ),
    Habit(
        "multires noise",
        on("multires_noise_iterations"),
        "it scales the whole batch together, so that a picture depends on its neighbours.",
        "each picture by itself.",
        {"noise.pyramid_norm": "batch"},
        {"noise.pyramid_norm": "picture"},
    ),
    Habit(
        "validation pictures",
        on("validation_split"),
        "it draws the split twice, so that some are trained on; that is not repeated.",
        "pictures that are never trained on.",
    ),
    Habit(
        "size of previews",
        given("sample_prompts"),
        "it draws 512 x 512 where the prompt gives no size, also for SDXL.",
        "the training resolution.",
        {"previews.size": "512x512"},
        {"previews.size": "auto"},
    ),
)
# What these are where nobody thinks of them.
IDLE = {"prior_loss_weight": 1.0, "num_vectors_per_token": 1.0}


def note_differences(sheet: Sheet) -> None:
    """Takes one side of everything that the script does in its own way."""
    for habit in HABITS:
        if habit.happens(sheet):
            sheet.gap(Gap(habit.topic, habit.tool, habit.meant, habit.run, habit.right))


def note_data_differences(sheet: Sheet) -> None:
    """The same for pictures and captions alone."""
    for habit in HABITS:
        if habit.of_data and habit.happens(sheet):
            sheet.gap(Gap(habit.topic, habit.tool, habit.meant, habit.run, habit.right))


def ignored_by_script(sheet: Sheet, entry: Entry) -> bool:
    """Options that this script does not read: left aside as run, honoured as meant."""
    if reads(sheet.script, entry.name) or is_idle(entry):
        return False
    name = SCRIPT_NAMES[sheet.script]
    if sheet.as_run:
        sheet.unused(entry, f"{name} does not read it, so it did nothing.")
        return True
    readers = ", ".join(SCRIPT_NAMES[script] for script in READ_BY[entry.name.partition(".")[0]])
    sheet.gap(Gap(entry.key, f"{name} does not read it; {readers} would.", "what it says."))
    return False


def is_idle(entry: Entry) -> bool:
    """Whether an option is off or at its default."""
    if entry.value is False:
        return True
    try:
        value = number(entry.value)
    except Unreadable:
        return False
    return value in (0, IDLE.get(entry.name, 0))
