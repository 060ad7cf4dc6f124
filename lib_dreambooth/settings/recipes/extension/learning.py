"""Its keys for the model, length, parts and precision."""

from __future__ import annotations

import math
import re

from lib_dreambooth.settings.recipes.extension.eras import Era
from lib_dreambooth.settings.recipes.extension.facts import batch, by_pictures, era, is_lora
from lib_dreambooth.settings.recipes.rules import Table, file_at, flag, flag_on, place, to, unused
from lib_dreambooth.settings.recipes.sheet import Entry, Gap, Sheet
from lib_dreambooth.settings.recipes.turn import lower_text, number, size, switch, text, whole

OWN_COPY = "models are trained from the checkpoint file itself; no copy is made."
SAME_RESULT = "the fastest that is installed is taken; the result is the same."
NAMED_WITH_HASH = re.compile(r"(?P<name>.*?)\s*\[(?P<hash>[0-9a-fA-F]{6,64})\]\s*")


def source(sheet: Sheet, entry: Entry) -> None:
    """src: a path, or a checkpoint's name with its hash in brackets."""
    match = NAMED_WITH_HASH.fullmatch(text(entry.value))
    if match:
        plain = Entry(entry.key, entry.name, match["name"], entry.value)
        place(sheet, plain, "model.base", "checkpoint", [match["hash"]])
    else:
        place(sheet, entry, "model.base", "checkpoint")


def model_type(sheet: Sheet, entry: Entry) -> None:
    """model_type."""
    types: dict[str, dict[str, str]] = {
        "v1x": {"model.family": "sd1"},
        "v2x": {"model.family": "sd2", "model.prediction": "velocity"},
        "v2x-512": {"model.family": "sd2", "model.prediction": "noise"},
        "sdxl": {"model.family": "sdxl"},
    }
    found = types.get(lower_text(entry.value))
    if found is None:
        sheet.ask(entry, "models of this kind are not trained here.")
    else:
        sheet.honour(entry, found)


def epochs(sheet: Sheet, entry: Entry) -> None:
    """num_train_epochs, which steps overrode where there was a field for them."""
    count = number(entry.value)
    if era(sheet) is Era.NOV_2022:
        sheet.unused(entry, "this form always counted steps.")
    elif era(sheet) is Era.DEC_2022 and (sheet.number("max_train_steps") or 0) > 0:
        sheet.unused(entry, "max_train_steps overrides it.")
    else:
        sheet.honour(entry, {"length.train_for": f"{count:.10g} epochs"})


def steps(sheet: Sheet, entry: Entry) -> None:
    """max_train_steps; from December 2022 on it counted pictures."""
    count = number(entry.value)
    if count <= 0:
        sheet.honour(entry)
    elif era(sheet) >= Era.JAN_2023:
        sheet.unused(entry, "this form counts epochs only.")
    elif by_pictures(sheet):
        updates = math.ceil(count / batch(sheet))
        sheet.differ(
            entry, {"length.train_for": f"{updates} steps"}, "pictures were counted there; these are steps."
        )
    else:
        sheet.honour(entry, {"length.train_for": f"{count:.10g} steps"})


def warm_up(sheet: Sheet, entry: Entry) -> None:
    """lr_warmup_steps, counted in pictures from December 2022 on."""
    count = max(0, whole(entry.value))
    if str(sheet.get("lr_scheduler", "")) in ("constant", "cosine_annealing", "rex"):
        sheet.unused(entry, "this schedule has no warm-up there.")
    elif by_pictures(sheet) and count:
        updates = math.ceil(count / batch(sheet))
        sheet.differ(
            entry, {"rates.warmup": f"{updates} steps"}, "pictures were counted there; these are steps."
        )
    else:
        sheet.honour(entry, {"rates.warmup": f"{count} steps"})


def text_part(sheet: Sheet, entry: Entry) -> None:
    """train_text_encoder of 2022."""
    if era(sheet) >= Era.JAN_2023 and sheet.given("stop_text_encoder"):
        sheet.unused(entry, "stop_text_encoder counts.")
    else:
        on = switch(entry.value)
        sheet.honour(entry, {"parts.text_encoder_1.train": on, "parts.text_encoder_2.train": on})


def text_share(sheet: Sheet, entry: Entry) -> None:
    """stop_text_encoder: the part of the epochs in which the text encoder is trained."""
    share = number(entry.value)
    parts = ("text_encoder_1", "text_encoder_2")
    if share <= 0:
        sheet.honour(entry, {f"parts.{part}.train": False for part in parts})
    else:
        stop = f"{min(share, 1) * 100:.10g} %"
        sheet.honour(
            entry, {f"parts.{p}.{k}": v for p in parts for k, v in (("train", True), ("stop", stop))}
        )


def half_weights(sheet: Sheet, entry: Entry) -> None:
    """full_mixed_precision."""
    if not switch(entry.value):
        sheet.honour(entry)
    elif lower_text(sheet.get("mixed_precision", "no")) == "no":
        sheet.unused(entry, "mixed_precision is no.")
    elif is_lora(sheet):
        sheet.differ(entry, {}, "the base is kept in half precision anyway, what is trained in fp32.")
    else:
        sheet.honour(entry, {"precision.weights": "half"})
        sheet.gap(
            Gap(
                "weights in half precision",
                "every step is rounded to the nearest number, so that small ones are lost.",
                "every step counts (stochastic rounding).",
                {"precision.stochastic_rounding": False},
                {"precision.stochastic_rounding": True},
            )
        )


def latents(sheet: Sheet, entry: Entry) -> None:
    """cache_latents, and not_cache_latents of 2022."""
    cached = switch(entry.value) is (entry.name == "cache_latents")
    sheet.honour(entry, {"memory.cache_latents": "memory"} if cached else {})


def attention(sheet: Sheet, entry: Entry) -> None:
    """attention."""
    sheet.differ(entry, {"memory.attention": "auto"}, SAME_RESULT)


def min_snr(sheet: Sheet, entry: Entry) -> None:
    """min_snr_gamma, a field that did nothing."""
    value = number(entry.value)
    sheet.honour(entry, {"loss.min_snr_gamma": value})
    if value:
        sheet.gap(
            Gap(
                "min_snr_gamma",
                "the field does nothing.",
                "the weighting.",
                {"loss.min_snr_gamma": 0.0},
                {"loss.min_snr_gamma": value},
            )
        )


def tensorboard(sheet: Sheet, entry: Entry) -> None:
    """disable_logging."""
    sheet.honour(entry, {"logging.tensorboard": not switch(entry.value)})


LEARNING: Table = {
    "src": source,
    "new_model_src": source,
    "pretrained_model_name_or_path": unused(OWN_COPY),
    "model_dir": unused(OWN_COPY),
    "model_path": unused(OWN_COPY),
    "shared_diffusers_path": unused(OWN_COPY),
    "use_shared_src": unused(OWN_COPY),
    "model_type": model_type,
    "v2": flag_on("model.family", "sd2"),
    "v_pred": flag_on("model.prediction", "velocity"),
    "pretrained_vae_name_or_path": file_at("model.vae", "vae"),
    "clip_skip": to("model.clip_skip", whole),
    "resolution": to("pictures.resolution", size),
    "num_train_epochs": epochs,
    "max_train_steps": steps,
    "train_batch_size": to("length.batch_size", whole),
    "gradient_accumulation_steps": to("length.accumulation", whole),
    "gradient_checkpointing": flag_on("memory.checkpointing", "on"),
    "gradient_set_to_none": flag("memory.set_to_none"),
    "train_unet": flag("parts.unet.train"),
    "train_text_encoder": text_part,
    "stop_text_encoder": text_share,
    "lr_warmup_steps": warm_up,
    "mixed_precision": to("precision.mixed", lower_text),
    "full_mixed_precision": half_weights,
    "attention": attention,
    "cache_latents": latents,
    "not_cache_latents": latents,
    "use_cpu": flag_on("memory.device", "cpu"),
    "offset_noise": to("noise.offset", number),
    "min_snr_gamma": min_snr,
    "deterministic": flag("draws.deterministic"),
    "seed": to("draws.seed", whole),
    "disable_logging": tensorboard,
    "graph_smoothing": to("logging.smoothing", whole),
}
