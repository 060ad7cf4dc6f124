"""Rows for the model, files, length, precision and memory."""

from __future__ import annotations

import math
from typing import Any

from lib_dreambooth.settings.recipes.export.row import OPEN_EPOCHS, Context, Row, flag, in_steps, made, row
from lib_dreambooth.settings.recipes.kohya.scripts import LORA, SDXL, WORDS

SAVE_PRECISION = {"fp32": "float", "fp16": "fp16", "bf16": "bf16"}


def clip_skip(context: Context) -> int | None:
    """SDXL has its own layers, and SD 2 warns."""
    value = context.run.model.clip_skip
    return value if value > 1 and not context.is_sdxl else None


def merged(context: Context) -> list[str] | None:
    """Files merged into the base, without their weights."""
    return [name.rpartition(":")[0] if has_weight(name) else name for name in context.run.model.merge] or None


def multipliers(context: Context) -> list[float] | None:
    """Their weights."""
    found = [float(name.rpartition(":")[2]) if has_weight(name) else 1.0 for name in context.run.model.merge]
    return found or None


def has_weight(name: str) -> bool:
    """Whether a number stands behind the last colon; a drive's letter has none."""
    try:
        return math.isfinite(float(name.rpartition(":")[2])) and ":" in name
    except ValueError:
        return False


def epochs(context: Context) -> int | None:
    """Whole epochs; an open end becomes one that nobody waits for."""
    length = context.run.length.train_for
    if length.unit == "until stopped":
        context.say(f"kohya's scripts always have an end: max_train_epochs = {OPEN_EPOCHS} stands for none.")
        return OPEN_EPOCHS
    if length.unit != "epochs":
        return None
    if length.amount != int(length.amount):
        context.say(f"{length} became whole epochs.")
    return math.ceil(length.amount)


def steps(context: Context) -> int | None:
    """Steps."""
    return in_steps(context, context.run.length.train_for)


def every_epochs(context: Context) -> int | None:
    """Files by epochs."""
    every = context.run.saving.every
    return max(1, round(every.amount)) if every.unit == "epochs" and not every.is_never else None


def every_steps(context: Context) -> int | None:
    """Files by steps."""
    every = context.run.saving.every
    if every.unit == "minutes":
        context.say("kohya's scripts save by steps or epochs, not by minutes.")
    return None if every.is_never else in_steps(context, every)


def ratio(context: Context) -> int | None:
    """Files by shares of the run."""
    every = context.run.saving.every
    return max(1, round(100 / every.amount)) if every.unit == "percent" and not every.is_never else None


def keep_epochs(context: Context) -> int | None:
    """How many files by epochs are kept."""
    by_epochs = context.run.saving.every.unit in ("epochs", "percent")
    return context.run.saving.keep or None if by_epochs else None


def keep_steps(context: Context) -> int | None:
    """The same by steps: kohya counts steps back from now."""
    every, keep = every_steps(context), context.run.saving.keep
    return every * (keep - 1) if every and keep > 1 else None


def state(context: Context) -> bool | None:
    """States together with files."""
    return True if "state" in context.run.saving.during and not context.run.saving.every.is_never else None


def last_state(context: Context) -> bool | None:
    """A state at the end, where there are none on the way."""
    return True if "state" in context.run.saving.at_end and not state(context) else None


def file_form(context: Context) -> str:
    """What files are."""
    if context.script == WORDS:
        return context.run.saving.embedding_format
    diffusers = "diffusers" in context.run.saving.at_end and context.script != LORA
    return "diffusers_safetensors" if diffusers else "safetensors"


def precision(context: Context) -> str:
    """mixed_precision; what is found by itself here has to be named there."""
    value = context.run.precision.mixed
    if value == "auto":
        context.say("mixed_precision is fp16; on an RTX 30 or later bf16 is better.")
        return "fp16"
    return value


def full(kind: str) -> Any:
    """full_fp16 and full_bf16."""

    def value(context: Context) -> bool | None:
        half = context.run.precision.weights == "half"
        return True if half and precision(context) == kind else None

    return value


def checkpointing(context: Context) -> bool | None:
    """gradient_checkpointing."""
    return True if context.run.memory.checkpointing in ("on", "some", "offload") else None


def can_cache(context: Context) -> bool:
    """Whether pictures stay as they are from visit to visit."""
    pictures = context.run.pictures
    return pictures.crop == "centre" and pictures.colour_change == "off"


def latents(context: Context) -> bool | None:
    """cache_latents."""
    return (
        True
        if context.run.memory.cache_latents in ("memory", "disk", "auto") and can_cache(context)
        else None
    )


def latents_on_disk(context: Context) -> bool | None:
    """cache_latents_to_disk."""
    return True if context.run.memory.cache_latents == "disk" and can_cache(context) else None


def text_states(context: Context) -> bool | None:
    """cache_text_encoder_outputs; only with SDXL, and with captions that stay the same."""
    trained = context.run.parts.text_encoder_1.train or context.run.parts.text_encoder_2.train
    captions = context.run.captions
    fixed = not (captions.shuffle or captions.dropout or captions.tag_dropout or captions.token_warmup.amount)
    wanted = context.run.memory.cache_text in ("memory", "disk")
    return True if wanted and context.is_sdxl and fixed and not trained else None


def text_on_disk(context: Context) -> bool | None:
    """cache_text_encoder_outputs_to_disk."""
    return True if context.run.memory.cache_text == "disk" and text_states(context) else None


def fused(context: Context) -> bool | None:
    """fused_backward_pass, which only Adafactor has there."""
    on = context.run.memory.fused_backward == "on" and context.run.optimizer.name == "AdaFactor"
    return True if on and context.run.length.accumulation == 1 else None


RUNNING: tuple[Row, ...] = (
    row("pretrained_model_name_or_path", "model.base"),
    row("vae", "model.vae"),
    flag("v2", "model.family", "sd2"),
    flag("v_parameterization", "model.prediction", "velocity"),
    flag("no_half_vae", "precision.vae", "fp32"),
    made("clip_skip", "model.clip_skip", clip_skip),
    made("base_weights", "model.merge", merged, scripts=(LORA,)),
    made("base_weights_multiplier", "model.merge", multipliers, scripts=(LORA,)),
    row("output_name", "metadata.name"),
    made("output_dir", "saving.folder", lambda context: context.run.saving.folder or "output"),
    row("save_precision", "saving.precision", lambda value: SAVE_PRECISION[value]),
    made("save_model_as", "saving.at_end saving.embedding_format", file_form),
    made("save_every_n_epochs", "saving.every", every_epochs),
    made("save_every_n_steps", "saving.every", every_steps),
    made("save_n_epoch_ratio", "saving.every", ratio),
    made("save_last_n_epochs", "saving.keep", keep_epochs),
    made("save_last_n_steps", "saving.keep", keep_steps),
    made("save_state", "saving.during", state),
    made("save_state_on_train_end", "saving.at_end", last_state),
    flag("no_metadata", "metadata.content", "plain", scripts=(LORA,)),
    row("training_comment", "metadata.comment", scripts=(LORA,)),
    row("metadata_title", "metadata.title"),
    row("metadata_author", "metadata.author"),
    row("metadata_description", "metadata.description"),
    row("metadata_license", "metadata.license"),
    row("metadata_tags", "metadata.tags", ",".join),
    row("metadata_usage_hint", "metadata.usage"),
    row("metadata_trigger_phrase", "metadata.trigger"),
    made(
        "metadata_is_negative_embedding",
        "metadata.negative_embedding",
        lambda context: "true" if context.run.metadata.negative_embedding else None,
    ),
    made("max_train_epochs", "length.train_for", epochs),
    made("max_train_steps", "length.train_for", steps),
    row("train_batch_size", "length.batch_size"),
    row("gradient_accumulation_steps", "length.accumulation", unless=1),
    row("seed", "draws.seed", unless=-1),
    made("mixed_precision", "precision.mixed", precision),
    made("full_fp16", "precision.weights", full("fp16")),
    made("full_bf16", "precision.weights", full("bf16"), scripts=(LORA, SDXL, WORDS)),
    flag("fp8_base", "precision.frozen", "fp8", scripts=(LORA,)),
    flag("fp8_base_unet", "precision.frozen", "fp8 unet", scripts=(LORA,)),
    made("gradient_checkpointing", "memory.checkpointing", checkpointing),
    flag("cpu_offload_checkpointing", "memory.checkpointing", "offload", scripts=(LORA,)),
    made(
        "sdpa",
        "memory.attention",
        lambda context: True if context.run.memory.attention in ("auto", "sdpa") else None,
    ),
    flag("xformers", "memory.attention", "xformers"),
    flag("mem_eff_attn", "memory.attention", "sliced"),
    flag("torch_compile", "memory.compile", "on"),
    made("cache_latents", "memory.cache_latents", latents),
    made("cache_latents_to_disk", "memory.cache_latents", latents_on_disk),
    row("vae_batch_size", "memory.vae_batch", lambda value: value or 1, unless=1),
    flag("skip_cache_check", "memory.trust_cache"),
    made("cache_text_encoder_outputs", "memory.cache_text", text_states, scripts=(LORA, SDXL)),
    made("cache_text_encoder_outputs_to_disk", "memory.cache_text", text_on_disk, scripts=(LORA, SDXL)),
    row("max_data_loader_n_workers", "memory.workers", unless=-1),
    made("fused_backward_pass", "memory.fused_backward", fused, scripts=(SDXL,)),
)
