"""Its keys for the model, length, rates, optimizer and precision."""

from __future__ import annotations

import math
import re

from lib_dreambooth.settings.convert import number_shown
from lib_dreambooth.settings.recipes.extension.eras import Era
from lib_dreambooth.settings.recipes.extension.facts import batch, by_pictures, era, is_lora, rate
from lib_dreambooth.settings.recipes.rules import Rule, Table, file_at, flag, flag_on, place, to, unused
from lib_dreambooth.settings.recipes.sheet import Entry, Gap, Sheet
from lib_dreambooth.settings.recipes.turn import lower_text, number, size, switch, text, whole

OWN_COPY = "models are trained from the checkpoint file itself; no copy is made."
SAME_RESULT = "the fastest that is installed is taken; the result is the same."
NAMED_WITH_HASH = re.compile(r"(?P<name>.*?)\s*\[(?P<hash>[0-9a-fA-F]{6,64})\]\s*")
OPTIMIZERS = {
    "8bit adamw": "AdamW8bit",
    "8bit adam": "AdamW8bit",
    "torch adamw": "AdamW",
    "adamw": "AdamW",
    "paged 8bit adamw": "PagedAdamW8bit",
    "adafactor": "AdaFactor",
    "lion": "Lion",
    "8bit lion": "Lion8bit",
    "paged 8bit lion": "PagedLion8bit",
    "adamw dadaptation": "DAdaptAdam",
    "adam dadaptation": "DAdaptAdam",
    "d-adapt adam": "DAdaptAdam",
    "adan dadaptation": "DAdaptAdan",
    "d-adapt adan": "DAdaptAdan",
    "lion dadaptation": "DAdaptLion",
    "d-adapt lion": "DAdaptLion",
    "sgd dadaptation": "DAdaptSGD",
    "d-adapt sgd": "DAdaptSGD",
    "came": "CAME",
    "prodigy": "Prodigy",
}
OTHER_OPTIMIZERS = {
    "adanip dadaptation": ("DAdaptAdan", "the IP form is not built in; the plain one is nearest."),
    "d-adapt adanip": ("DAdaptAdan", "the IP form is not built in; the plain one is nearest."),
    "apollo": ("Apollo", "taken from pytorch-optimizer."),
    "sophia": ("SophiaH", "taken from pytorch-optimizer."),
    "tiger": ("Tiger", "taken from pytorch-optimizer."),
}
SCHEDULES = {
    "linear": "linear",
    "linear_with_warmup": "linear",
    "cosine": "cosine",
    "cosine_annealing": "cosine",
    "cosine_with_restarts": "cosine_with_restarts",
    "cosine_annealing_restarts": "cosine_with_restarts",
    "cosine_annealing_with_restarts": "cosine_with_restarts",
    "polynomial": "polynomial",
    "constant": "constant",
    "constant_with_warmup": "constant",
    "dadapt_with_warmup": "constant",
    "rex": "rex",
}


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


def main_rate(for_lora: bool) -> Rule:
    """learning_rate for whole models, lora_learning_rate for LoRA."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        value = number(entry.value)
        if is_lora(sheet) is for_lora:
            sheet.honour(entry, {"rates.learning_rate": value, "parts.unet.rate": 0.0})
        else:
            sheet.unused(entry, f"it counts {'with' if for_lora else 'without'} Use LORA only.")

    return rule


def text_rate(for_lora: bool) -> Rule:
    """txt_learning_rate for whole models, lora_txt_learning_rate for LoRA."""

    def rule(sheet: Sheet, entry: Entry) -> None:
        value = number(entry.value)
        if is_lora(sheet) is not for_lora:
            sheet.unused(entry, f"it counts {'with' if for_lora else 'without'} Use LORA only.")
            return
        parts = ("text_encoder_1", "text_encoder_2")
        one = {f"parts.{part}.rate": 0.0 for part in parts}
        own = {f"parts.{part}.rate": value for part in parts}
        sheet.honour(entry, own)
        if era(sheet) is Era.LAST and value != rate(sheet):
            sheet.gap(
                Gap(
                    entry.key,
                    "everything learns at the UNet's rate; this one does nothing.",
                    "its own rate.",
                    one,
                    own,
                )
            )

    return rule


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


def optimizer(sheet: Sheet, entry: Entry) -> None:
    """optimizer."""
    name = lower_text(entry.value)
    if name in OPTIMIZERS:
        sheet.honour(entry, {"optimizer.name": OPTIMIZERS[name]})
    elif name in OTHER_OPTIMIZERS:
        found, says = OTHER_OPTIMIZERS[name]
        sheet.differ(entry, {"optimizer.name": found}, says)
    else:
        sheet.ask(entry, "this optimizer is not known here; AdamW stands in its place.")


def small_adam(sheet: Sheet, entry: Entry) -> None:
    """use_8bit_adam."""
    if sheet.given("optimizer"):
        sheet.unused(entry, "optimizer counts.")
    else:
        sheet.honour(entry, {"optimizer.name": "AdamW8bit" if switch(entry.value) else "AdamW"})


def betas(sheet: Sheet, entry: Entry) -> None:
    """adam_beta1 and adam_beta2 make one argument."""
    number(entry.value)
    pair = [sheet.number("adam_beta1") or 0.9, sheet.number("adam_beta2") or 0.999]
    sheet.honour(entry, {"optimizer.arguments#betas": pair})


def decay(sheet: Sheet, entry: Entry) -> None:
    """The weight decay under the names it had."""
    names = ("weight_decay", "adamw_weight_decay", "adam_weight_decay")
    first = next((name for name in names if sheet.given(name)), entry.name)
    if entry.name == first:
        sheet.honour(entry, {"optimizer.weight_decay": number(entry.value)})
    else:
        sheet.unused(entry, f"{first} counts.")


def clipping(sheet: Sheet, entry: Entry) -> None:
    """max_grad_norm, whose code was taken out while its field stayed."""
    value = number(entry.value)
    sheet.honour(entry, {"optimizer.max_grad_norm": value})
    if value:
        sheet.gap(
            Gap(
                "max_grad_norm",
                "the field is shown, and nothing is clipped.",
                "clipping.",
                {"optimizer.max_grad_norm": 0.0},
                {"optimizer.max_grad_norm": value},
            )
        )


def schedule(sheet: Sheet, entry: Entry) -> None:
    """lr_scheduler."""
    name = lower_text(entry.value)
    found = SCHEDULES.get(name)
    if found is None:
        sheet.ask(entry, "there is no schedule of this name here; constant stands in its place.")
        return
    sheet.honour(entry, {"rates.schedule": found})
    if found == "cosine" and era(sheet) is Era.LAST:
        sheet.gap(
            Gap(
                "cosine",
                "the rate falls to 0 in the middle and climbs back to its full height at the end; that is not"
                " repeated.",
                "one fall.",
            )
        )


def floor(sheet: Sheet, entry: Entry) -> None:
    """learning_rate_min: where falling schedules end."""
    lowest, top = number(entry.value), rate(sheet)
    if str(sheet.get("lr_scheduler", "")) not in ("cosine_annealing", "cosine_annealing_restarts", "rex"):
        sheet.unused(entry, "the schedule does not ask it.")
    elif not top or lowest > top:
        sheet.unused(entry, f"it is not below the rate ({number_shown(top)}).")
    else:
        sheet.honour(entry, {"rates.floor": float(f"{lowest / top:.6g}")})


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
    "pretrained_vae_name_or_path": file_at("model.vae", "vae"),
    "clip_skip": to("model.clip_skip", whole),
    "resolution": to("pictures.resolution", size),
    "num_train_epochs": epochs,
    "max_train_steps": steps,
    "train_batch_size": to("length.batch_size", whole),
    "gradient_accumulation_steps": to("length.accumulation", whole),
    "gradient_checkpointing": flag_on("memory.checkpointing", "on"),
    "gradient_set_to_none": flag("memory.set_to_none"),
    "learning_rate": main_rate(for_lora=False),
    "lora_learning_rate": main_rate(for_lora=True),
    "txt_learning_rate": text_rate(for_lora=False),
    "lora_txt_learning_rate": text_rate(for_lora=True),
    "train_unet": flag("parts.unet.train"),
    "train_text_encoder": text_part,
    "stop_text_encoder": text_share,
    "scale_lr": flag("rates.scale"),
    "lr_scheduler": schedule,
    "lr_warmup_steps": warm_up,
    "lr_cycles": to("rates.restarts", whole),
    "lr_power": to("rates.power", number),
    "learning_rate_min": floor,
    "optimizer": optimizer,
    "use_8bit_adam": small_adam,
    "adam_beta1": betas,
    "adam_beta2": betas,
    "adam_epsilon": to("optimizer.arguments#eps", number),
    "weight_decay": decay,
    "adamw_weight_decay": decay,
    "adam_weight_decay": decay,
    "max_grad_norm": clipping,
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
