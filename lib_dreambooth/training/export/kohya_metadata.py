"""The `ss_` keys as kohya's scripts write them and as hosts and viewers read them."""

from __future__ import annotations

import json
from typing import Any

from lib_dreambooth.base.durations import to_steps
from lib_dreambooth.settings.convert import plain
from lib_dreambooth.settings.meaning import alpha_of
from lib_dreambooth.settings.recipes.export import learning, network, running
from lib_dreambooth.settings.recipes.export.row import Context
from lib_dreambooth.settings.recipes.kohya.scripts import LORA
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.training.export.facts import BaseFacts, DataFacts, Session
from lib_dreambooth.training.export.privacy import cleared, without_paths

BASE_VERSIONS = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}
# What a host or a script needs to read an adapter.
NEEDED = (
    "ss_v2",
    "ss_base_model_version",
    "ss_network_module",
    "ss_network_dim",
    "ss_network_alpha",
    "ss_network_args",
    "ss_output_name",
)
# Without these an adapter of SDXL or SD2 counts as one of SD1, or of nothing.
VERSION_KEYS = NEEDED[:2]


def version_metadata(base: BaseFacts) -> dict[str, Any]:
    """Which models the file goes with."""
    velocity = "_v" if base.prediction == "v" and base.family != "sdxl" else ""
    return {
        "ss_v2": base.family == "sd2",
        "ss_base_model_version": BASE_VERSIONS[base.family] + velocity,
    }


def network_metadata(run: Run, base: BaseFacts) -> dict[str, Any]:
    """What kind of network it is."""
    context = Context(run, LORA, base.family == "sdxl")
    args = dict(text.split("=", 1) for text in network.network_args(context) or ())
    found: dict[str, Any] = {
        "ss_network_module": network.module(context),
        "ss_network_dim": run.network.rank,
        "ss_network_alpha": alpha_of(run),
        "ss_network_dropout": run.network.dropout or None,
    }
    return {**found, "ss_network_args": args} if args else found


def base_metadata(base: BaseFacts) -> dict[str, Any]:
    """The base and its VAE, by name and hashes."""
    found: dict[str, Any] = {"ss_sd_model_name": base.file.name}
    if base.file.sha256:
        found |= {"ss_sd_model_hash": base.file.legacy, "ss_new_sd_model_hash": base.file.sha256}
    if base.vae is not None:
        found |= {
            "ss_vae_name": base.vae.name,
            "ss_vae_hash": base.vae.legacy,
            "ss_new_vae_hash": base.vae.sha256,
        }
    return found


def learning_metadata(run: Run, base: BaseFacts, data: DataFacts, session: Session) -> dict[str, Any]:
    """Rates, optimizer, length and precision."""
    context = Context(run, LORA, base.family == "sdxl")
    precision = session.mixed_precision
    checkpointing = session.gradient_checkpointing
    steps_per_epoch = -(-data.batches_per_epoch // (run.length.accumulation * data.processes))
    warmup = to_steps(run.rates.warmup, steps_per_epoch, session.total_steps)
    return {
        "ss_learning_rate": run.rates.learning_rate,
        "ss_unet_lr": part_rate(run, "unet"),
        "ss_text_encoder_lr": text_rates(run, base),
        "ss_lr_scheduler": learning.schedule(context),
        "ss_lr_warmup_steps": warmup or 0,
        "ss_optimizer": optimizer_text(run, session),
        "ss_max_grad_norm": run.optimizer.max_grad_norm,
        "ss_scale_weight_norms": run.network.max_norm or None,
        "ss_max_train_steps": session.total_steps,
        "ss_num_epochs": session.num_epochs,
        "ss_gradient_accumulation_steps": run.length.accumulation,
        "ss_gradient_checkpointing": bool(running.checkpointing(context))
        if checkpointing is None
        else checkpointing,
        "ss_mixed_precision": precision,
        "ss_full_fp16": run.precision.weights == "half" and precision == "fp16",
        "ss_fp8_base": run.precision.frozen == "fp8",
        "ss_fp8_base_unet": run.precision.frozen in ("fp8", "fp8 unet"),
        "ss_lowram": False,
        "ss_seed": run.draws.seed,
        "ss_cache_latents": run.memory.cache_latents != "off",
        "ss_clip_skip": running.clip_skip(context),
        "ss_max_token_length": run.captions.max_tokens,
        "ss_training_comment": without_paths(run.metadata.comment) or None,
    }


def objective_metadata(run: Run, base: BaseFacts) -> dict[str, Any]:
    """Loss and noise."""
    noise, loss = run.noise, run.loss
    return {
        "ss_loss_type": loss.kind,
        "ss_huber_schedule": loss.huber_schedule,
        "ss_huber_c": loss.huber_c,
        "ss_huber_scale": loss.huber_scale,
        "ss_min_snr_gamma": loss.min_snr_gamma or None,
        "ss_debiased_estimation": loss.debiased,
        "ss_prior_loss_weight": run.class_pictures.weight,
        "ss_noise_offset": noise.offset or None,
        "ss_noise_offset_random_strength": noise.offset_random,
        "ss_adaptive_noise_scale": noise.offset_adaptive or None,
        "ss_multires_noise_iterations": noise.pyramid_levels or None,
        "ss_multires_noise_discount": noise.pyramid_discount,
        "ss_ip_noise_gamma": noise.perturbation or None,
        "ss_ip_noise_gamma_random_strength": noise.perturbation_random,
        "ss_zero_terminal_snr": base.is_zero_terminal,
        "ss_validation_split": run.validation.share,
        "ss_validation_seed": run.validation.seed if run.validation.seed >= 0 else None,
        "ss_max_validation_steps": run.validation.most or None,
    }


def picture_metadata(run: Run, data: DataFacts) -> dict[str, Any]:
    """How pictures and captions were treated."""
    pictures, captions = run.pictures, run.captions
    size = pictures.resolution
    return {
        "ss_resolution": None if size.is_auto else f"({size.width}, {size.height})",
        "ss_enable_bucket": pictures.buckets,
        "ss_bucket_no_upscale": not pictures.upscale,
        "ss_min_bucket_reso": pictures.bucket_min or None,
        "ss_max_bucket_reso": pictures.bucket_max or None,
        "ss_flip_aug": pictures.flip,
        "ss_color_aug": pictures.colour_change != "off",
        "ss_random_crop": pictures.crop == "random",
        "ss_face_crop_aug_range": face_range(run),
        "ss_shuffle_caption": captions.shuffle,
        "ss_keep_tokens": captions.keep_tokens,
        "ss_caption_dropout_rate": captions.dropout,
        "ss_caption_dropout_every_n_epochs": captions.dropout_every,
        "ss_caption_tag_dropout_rate": captions.tag_dropout,
        "ss_batch_size_per_device": run.length.batch_size,
        "ss_total_batch_size": run.length.batch_size * run.length.accumulation * data.processes,
    }


def data_metadata(data: DataFacts) -> dict[str, Any]:
    """What the pictures are. Tables are objects of JSON: hosts read nothing else."""
    training = {name: one for name, one in data.directories.items() if not one.is_class}
    classes = {name: one for name, one in data.directories.items() if one.is_class}
    buckets = {
        str(number): {"resolution": list(size), "count": count}
        for number, (size, count) in enumerate(data.buckets.items())
    }
    return {
        "ss_num_train_images": data.num_train_images,
        "ss_num_reg_images": data.num_class_images,
        "ss_num_validation_images": data.num_validation_images,
        "ss_num_batches_per_epoch": data.batches_per_epoch,
        "ss_dataset_dirs": {
            name: {"n_repeats": one.num_repeats, "img_count": one.num_pictures}
            for name, one in training.items()
        },
        "ss_reg_dataset_dirs": {
            name: {"n_repeats": one.num_repeats, "img_count": one.num_pictures}
            for name, one in classes.items()
        },
        "ss_tag_frequency": {name: dict(one.tags) for name, one in data.directories.items()},
        "ss_bucket_info": {"buckets": buckets, "mean_img_ar_error": data.mean_shape_error},
    }


def part_rate(run: Run, part: str) -> float | None:
    """A part's own rate; 0 where it is not trained, None where the common one counts."""
    own = getattr(run.parts, part)
    if not own.train:
        return 0.0
    return own.rate or None


def text_rates(run: Run, base: BaseFacts) -> float | list[float | None] | None:
    """One rate, or one for each text encoder of SDXL."""
    first, second = part_rate(run, "text_encoder_1"), part_rate(run, "text_encoder_2")
    if base.family != "sdxl" or first == second:
        return first
    common = run.rates.learning_rate
    return [common if rate is None else rate for rate in (first, second)]


def optimizer_text(run: Run, session: Session) -> str:
    """The class with its arguments in brackets."""
    given = {"weight_decay": run.optimizer.weight_decay, **cleared(plain(run.optimizer.arguments))}
    arguments = ",".join(f"{name}={learning.literal(value)}" for name, value in given.items())
    return f"{session.optimizer or run.optimizer.name}({arguments})"


def face_range(run: Run) -> str | None:
    """kohya's form of the zoom onto faces."""
    low, high = run.pictures.face_zoom_min, run.pictures.face_zoom_max
    return f"({low}, {high})" if run.pictures.crop == "face" else None


def said(value: Any) -> str:
    """A value as metadata holds it: Python's text, tables as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
