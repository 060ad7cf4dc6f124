"""Rows for pictures, captions, noise, loss, previews, validation and curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib_dreambooth.settings.recipes.export.row import Context, Row, flag, in_steps, made, row
from lib_dreambooth.settings.recipes.kohya.scripts import LORA, SDXL, WHOLE, WORDS

SAMPLERS = {
    "euler a": "euler_a",
    "euler": "euler",
    "ddim": "ddim",
    "dpm++ 2m karras": "dpmsolver++",
    "unipc": "dpmsolver++",
}
NOT_WORDS = (LORA, WHOLE, SDXL)


def resolution(context: Context) -> str:
    """The training size, named."""
    size = context.run.pictures.resolution
    return f"{context.side},{context.side}" if size.is_auto else f"{size.width},{size.height}"


def sides(context: Context) -> tuple[int, int]:
    """Width and height."""
    width, _, height = resolution(context).partition(",")
    return int(width), int(height)


def smallest(context: Context) -> int | None:
    """min_bucket_reso; kohya has no automatic one."""
    pictures = context.run.pictures
    return (pictures.bucket_min or min(sides(context)) // 2) if pictures.buckets else None


def largest(context: Context) -> int | None:
    """max_bucket_reso."""
    pictures = context.run.pictures
    return (pictures.bucket_max or max(sides(context)) * 2) if pictures.buckets else None


def step(context: Context) -> int | None:
    """bucket_reso_steps: multiples of 64, with SDXL of 32."""
    pictures, unit = context.run.pictures, 32 if context.is_sdxl else 64
    if not pictures.buckets:
        return None
    found = max(unit, pictures.bucket_step // unit * unit)
    if found != pictures.bucket_step:
        context.say(f"kohya's scripts take multiples of {unit} as steps of buckets: {found}.")
    return found if found != 64 else None


def zoom(context: Context) -> str | None:
    """face_crop_aug_range, a text."""
    pictures = context.run.pictures
    if pictures.crop != "face" or not pictures.face_zoom_max:
        return None
    return f"{pictures.face_zoom_min},{pictures.face_zoom_max}"


def caption_ending(context: Context) -> str | None:
    """caption_extension: one there, several here."""
    files = context.run.captions.files
    if len(files) > 1:
        context.say(f"kohya's scripts read captions with one ending: {files[0]}.")
    return files[0] if files else None


def max_tokens(context: Context) -> int | None:
    """max_token_length: 150 or 225."""
    value = context.run.captions.max_tokens
    if value > 225:
        context.say("kohya's scripts read 225 tokens at most.")
    return min(225, value) if value > 75 else None


def token_warm_up(context: Context) -> float | None:
    """token_warmup_step: a share of the run, or steps."""
    duration = context.run.captions.token_warmup
    if not duration.amount:
        return None
    steps = in_steps(context, duration)
    if steps is not None:
        return float(steps)
    return duration.amount / 100 if duration.unit == "percent" else None


def rhythm(path: str, unit: str) -> Any:
    """A rhythm in one unit."""

    def value(context: Context) -> int | None:
        every = context.at(path)
        return max(1, round(every.amount)) if every.unit == unit and not every.is_never else None

    return value


def offset_only(path: str) -> Any:
    """Settings that kohya refuses without noise_offset."""
    return lambda context: context.at(path) or None if context.run.noise.offset else None


def pyramid(context: Context) -> float | None:
    """multires_noise_discount."""
    noise = context.run.noise
    return noise.pyramid_discount if noise.pyramid_levels and noise.pyramid_discount != 0.3 else None


def prediction_flag(path: str, *, velocity: bool) -> Any:
    """Loss options that kohya refuses for the other prediction."""

    def value(context: Context) -> Any:
        fits = (context.run.model.prediction == "velocity") is velocity
        return context.at(path) or None if fits else None

    return value


def log_with(context: Context) -> str | None:
    """log_with."""
    logging = context.run.logging
    if logging.wandb:
        return "all" if logging.tensorboard else "wandb"
    return "tensorboard" if logging.tensorboard else None


def log_folder(context: Context) -> str | None:
    """logging_dir, without which nothing is logged."""
    logging = context.run.logging
    return (logging.folder or "logs") if logging.tensorboard or logging.wandb else None


def prompts(context: Context) -> str | None:
    """sample_prompts: a file of the user's, or one written beside the config."""
    previews = context.run.previews
    if previews.file:
        return previews.file
    return PROMPTS if prompt_lines(context) and not previews.every.is_never else None


def prompt_lines(context: Context) -> list[str]:
    """The prompts of the run and of its concepts."""
    previews = context.run.previews
    own = [line for concept in context.run.concepts for line in concept.sample_prompts]
    return [with_switches(context, line) for line in (*previews.prompts, *own)]


def with_switches(context: Context, line: str) -> str:
    """A prompt with what kohya would take otherwise by itself: 512 x 512, 30 steps, 7.5."""
    previews = context.run.previews
    width, height = sides(context) if previews.size.is_auto else (previews.size.width, previews.size.height)
    seed = "" if previews.seed < 0 else previews.seed
    wanted: Mapping[str, Any] = {
        "--n": previews.negative,
        "--w": width,
        "--h": height,
        "--d": seed,
        "--s": previews.steps,
        "--l": f"{previews.guidance:g}",
    }
    return line + "".join(
        f" {switch} {value}"
        for switch, value in wanted.items()
        if value != "" and f"{switch} " not in f"{line} "
    )


# Put in once the name of the file is known.
PROMPTS = "\0prompts"

PICTURES: tuple[Row, ...] = (
    made("resolution", "pictures.resolution", resolution),
    flag("enable_bucket", "pictures.buckets"),
    made("min_bucket_reso", "pictures.bucket_min", smallest),
    made("max_bucket_reso", "pictures.bucket_max", largest),
    made("bucket_reso_steps", "pictures.bucket_step", step),
    made(
        "bucket_no_upscale",
        "pictures.upscale",
        lambda context: True if context.run.pictures.buckets and not context.run.pictures.upscale else None,
    ),
    row("resize_interpolation", "pictures.filter", unless="auto"),
    flag("flip_aug", "pictures.flip"),
    made(
        "color_aug",
        "pictures.colour_change",
        lambda context: context.run.pictures.colour_change != "off" or None,
    ),
    flag("random_crop", "pictures.crop", "random"),
    made("face_crop_aug_range", "pictures.face_zoom_min pictures.face_zoom_max pictures.crop", zoom),
    made(
        "alpha_mask", "pictures.alpha", lambda context: context.run.pictures.alpha in ("mask", "both") or None
    ),
    made(
        "masked_loss",
        "pictures.masks",
        lambda context: (
            (any(c.mask_folder for c in context.run.concepts) and context.run.pictures.masks) or None
        ),
    ),
    made("caption_extension", "captions.files", caption_ending),
    row("caption_separator", "captions.separator", unless=","),
    row("secondary_separator", "captions.secondary_separator"),
    flag("shuffle_caption", "captions.shuffle"),
    row("keep_tokens", "captions.keep_tokens", unless=0),
    row("keep_tokens_separator", "captions.keep_separator"),
    flag("enable_wildcard", "captions.wildcards"),
    row("caption_prefix", "captions.prefix"),
    row("caption_suffix", "captions.suffix"),
    row("caption_dropout_rate", "captions.dropout", unless=0.0, scripts=NOT_WORDS),
    row("caption_dropout_every_n_epochs", "captions.dropout_every", unless=0, scripts=NOT_WORDS),
    row("caption_tag_dropout_rate", "captions.tag_dropout", unless=0.0, scripts=NOT_WORDS),
    made(
        "token_warmup_min",
        "captions.token_warmup_min",
        lambda context: context.run.captions.token_warmup_min if token_warm_up(context) else None,
    ),
    made("token_warmup_step", "captions.token_warmup", token_warm_up),
    made("max_token_length", "captions.max_tokens", max_tokens),
    flag("weighted_captions", "captions.weights", scripts=NOT_WORDS),
    row("noise_offset", "noise.offset", unless=0.0),
    made("noise_offset_random_strength", "noise.offset_random", offset_only("noise.offset_random")),
    made("adaptive_noise_scale", "noise.offset_adaptive", offset_only("noise.offset_adaptive")),
    row("multires_noise_iterations", "noise.pyramid_levels", unless=0),
    made("multires_noise_discount", "noise.pyramid_discount", pyramid),
    row("ip_noise_gamma", "noise.perturbation", unless=0.0),
    made(
        "ip_noise_gamma_random_strength",
        "noise.perturbation_random",
        lambda context: (
            True if context.run.noise.perturbation and context.run.noise.perturbation_random else None
        ),
    ),
    flag("zero_terminal_snr", "noise.zero_terminal", "on"),
    row("min_timestep", "noise.first_timestep", unless=0),
    row("max_timestep", "noise.last_timestep", unless=1000),
    row("loss_type", "loss.kind", unless="l2"),
    row("huber_schedule", "loss.huber_schedule", unless="snr"),
    row("huber_c", "loss.huber_c", unless=0.1),
    row("huber_scale", "loss.huber_scale", unless=1.0),
    row("min_snr_gamma", "loss.min_snr_gamma", unless=0.0),
    made(
        "scale_v_pred_loss_like_noise_pred",
        "loss.scale_v_pred",
        prediction_flag("loss.scale_v_pred", velocity=True),
    ),
    made("v_pred_like_loss", "loss.v_pred_like", prediction_flag("loss.v_pred_like", velocity=False)),
    flag("debiased_estimation_loss", "loss.debiased"),
    row("prior_loss_weight", "class_pictures.weight", unless=1.0, scripts=(LORA, WHOLE, WORDS)),
    row("validation_split", "validation.share", unless=0.0, scripts=(LORA,)),
    row("validation_seed", "validation.seed", unless=-1, scripts=(LORA,)),
    made("validate_every_n_steps", "validation.every", rhythm("validation.every", "steps"), scripts=(LORA,)),
    row("max_validation_steps", "validation.most", unless=0, scripts=(LORA,)),
    made("sample_every_n_epochs", "previews.every", rhythm("previews.every", "epochs")),
    made("sample_every_n_steps", "previews.every", rhythm("previews.every", "steps")),
    made(
        "sample_at_first",
        "previews.at_start",
        lambda context: True if context.run.previews.at_start and prompts(context) else None,
    ),
    made("sample_prompts", "previews.prompts previews.file", prompts),
    made(
        "sample_sampler",
        "previews.sampler",
        lambda context: SAMPLERS[context.run.previews.sampler] if prompts(context) else None,
    ),
    made("logging_dir", "logging.tensorboard logging.folder", log_folder),
    made("log_with", "logging.tensorboard logging.wandb", log_with),
    row("log_tracker_name", "logging.wandb"),
    row("wandb_run_name", "logging.wandb_run"),
)
WORDING: tuple[Row, ...] = (
    made(
        "token_string",
        "words.0.name",
        lambda context: context.run.words[0].name if context.run.words else None,
    ),
    made(
        "init_word",
        "words.0.start_as",
        lambda context: context.run.words[0].start_as or None if context.run.words else None,
    ),
    made(
        "num_vectors_per_token",
        "words.0.vectors",
        lambda context: context.run.words[0].vectors if context.run.words else None,
    ),
    made(
        "weights",
        "words.0.start_from",
        lambda context: context.run.words[0].start_from or None if context.run.words else None,
    ),
    flag("use_object_template", "parts.words.template", "object"),
    flag("use_style_template", "parts.words.template", "style"),
)
