"""What kohya's scripts do where a config says nothing."""

from __future__ import annotations

from typing import Any

from lib_dreambooth.settings.recipes.kohya.network import fill_network, kind
from lib_dreambooth.settings.recipes.kohya.optimizers import fill_optimizer
from lib_dreambooth.settings.recipes.kohya.rates import fill_rates
from lib_dreambooth.settings.recipes.kohya.scripts import LORA, SCRIPT_NAMES, SDXL, WORDS, area
from lib_dreambooth.settings.recipes.sheet import Gap, Sheet

# Option, setting, what the scripts take. Options that are off or the same here need no line.
DEFAULTS: tuple[tuple[str, str, Any], ...] = (
    ("train_batch_size", "length.batch_size", 1),
    ("max_train_steps", "length.train_for", "1600 steps"),
    ("mixed_precision", "precision.mixed", "no"),
    ("lr_scheduler", "rates.schedule", "constant"),
    ("lr_warmup_steps", "rates.warmup", "0 steps"),
    ("max_grad_norm", "optimizer.max_grad_norm", 1.0),
    ("masked_loss", "pictures.masks", False),
    ("max_token_length", "captions.max_tokens", 75),
    ("min_snr_gamma", "loss.min_snr_gamma", 0.0),
    ("zero_terminal_snr", "noise.zero_terminal", "off"),
    ("save_every_n_epochs", "saving.every", "never"),
    ("sample_every_n_epochs", "previews.every", "never"),
    ("sample_at_first", "previews.at_start", False),
    ("sample_prompts", "previews.at_end", False),
)
DATA_DEFAULTS: tuple[tuple[str, str, Any], ...] = (
    ("enable_bucket", "pictures.buckets", False),
    ("bucket_reso_steps", "pictures.bucket_step", 64),
    ("keep_tokens", "captions.keep_tokens", 0),
)
SAMPLE_DEFAULTS: tuple[tuple[str, str, Any], ...] = (
    ("steps of sample_prompts", "previews.steps", 30),
    ("guidance of sample_prompts", "previews.guidance", 7.5),
    ("sample_sampler", "previews.sampler", "ddim"),
)
SMALLEST_BUCKET, LARGEST_BUCKET = 256, 1024


def fill_silence(sheet: Sheet) -> None:
    """Sets what the script would do by itself."""
    fill_kind(sheet)
    fill_optimizer(sheet)
    fill_rates(sheet)
    if sheet.given("sample_prompts"):
        for option, path, value in SAMPLE_DEFAULTS:
            sheet.fill(option, path, value)
    for option, path, value in DEFAULTS:
        sheet.fill(option, path, value)
    half = sheet.is_on("full_fp16") or sheet.is_on("full_bf16")
    weights = ("fp16" if sheet.is_on("full_fp16") else "bf16") if half else "fp32"
    sheet.fill("save_precision", "saving.precision", weights)
    fill_data_silence(sheet)


def fill_data_silence(sheet: Sheet) -> None:
    """What becomes of pictures and captions by itself."""
    for option, path, value in DATA_DEFAULTS:
        sheet.fill(option, path, value)
    fill_buckets(sheet)
    fill_captions(sheet)


def fill_kind(sheet: Sheet) -> None:
    """What is trained, by the script."""
    if sheet.script == LORA:
        sheet.fill("network_module", "network.kind", kind(sheet))
        fill_network(sheet)
    elif sheet.script == WORDS:
        for part in ("unet", "text_encoder_1", "text_encoder_2"):
            sheet.put(f"parts.{part}.train", False)
        sheet.put("parts.words.train", True)
        sheet.fill("learning_rate for words", "parts.words.rate", 0.0)
        sheet.fill("num_vectors_per_token", "words.0.vectors", 1)
        sheet.fill("save_model_as", "saving.embedding_format", "pt")
    else:
        sheet.put("network.kind", "none")
    if sheet.script == SDXL:
        sheet.fill(SCRIPT_NAMES[SDXL], "model.family", "sdxl")


def fill_buckets(sheet: Sheet) -> None:
    """The limits of buckets; the largest side is too small for SDXL."""
    if not sheet.values.get("pictures.buckets"):
        return
    sheet.fill("min_bucket_reso", "pictures.bucket_min", SMALLEST_BUCKET)
    if sheet.has("pictures.bucket_max"):
        return
    if area(sheet) * 4 > LARGEST_BUCKET**2:
        sheet.gap(
            Gap(
                "largest side of buckets",
                "where none is given it is 1024, which cuts up to three quarters off long pictures at this"
                " resolution.",
                "buckets of the same area in every shape.",
                {"pictures.bucket_max": LARGEST_BUCKET},
                {"pictures.bucket_max": 0},
            )
        )
    else:
        sheet.fill("max_bucket_reso", "pictures.bucket_max", LARGEST_BUCKET)


def fill_captions(sheet: Sheet) -> None:
    """The ending of caption files, which is not the one that everybody uses."""
    if sheet.has("captions.files") or sheet.given("in_json") or "captions.files" in sheet.unrecorded:
        return
    sheet.gap(
        Gap(
            "ending of caption files",
            "where none is given only .caption files are read.",
            "the captions that lie beside the pictures; .txt counts where there is no .caption.",
            {"captions.files": [".caption"]},
            {"captions.files": [".caption", ".txt"]},
        )
    )
