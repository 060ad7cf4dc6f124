"""Every option of kohya's scripts has a row, and each row does what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.base.durations import Duration
from lib_dreambooth.settings.fields import all_fields, value_at
from lib_dreambooth.settings.recipes import Fate
from lib_dreambooth.settings.recipes.kohya.scripts import READ_BY, SCRIPT_NAMES
from lib_dreambooth.settings.recipes.kohya.table import KOHYA
from lib_dreambooth.settings.values import Size
from tests.settings_recipes.recipe_samples import LORA, everything_here, read_config, read_lora

OPTIONS = [
    line.split()
    for line in (Path(__file__).parent / "kohya_options.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
NAMES = [option[0] for option in OPTIONS]


def test_every_option_has_a_row() -> None:
    assert set(NAMES) - set(KOHYA) == set()


def test_no_row_is_for_an_option_that_does_not_exist() -> None:
    # LyCORIS has more names than the reference lists, and its older ones.
    more = {
        "network_args.dropout",
        "network_args.rs_lora",
        "network_args.use_conv_cp",
        "network_args.constrain",
    }
    assert set(KOHYA) - set(NAMES) - {"lr_scheduler_args.step_rules"} == more


def test_scripts_that_read_an_option_are_those_of_the_list() -> None:
    short = {"lora": {"N", "XN"}, "whole": {"DB"}, "sdxl": {"XF"}, "words": {"TI"}}
    for name, _, _, readers in OPTIONS:
        if (
            readers in ("all", "none")
            or name.startswith("network_args.")
            or name == "disable_mmap_load_safetensors"
        ):
            continue
        expected = {script for script, names in short.items() if names & set(readers.split(","))}
        assert set(READ_BY[name]) == expected, name
    assert set(short) == set(SCRIPT_NAMES)


def test_kohya_names_in_the_schema_are_options() -> None:
    known = {name.rsplit(".", 1)[-1] for name in KOHYA}
    # Names of the GUI and of Easy Training Scripts, and of kohya's dataset file.
    other = (
        "LoRA_type name is_reg image_dir num_repeats batch_size class_tokens metadata_file custom_attributes"
        " diff_output_preservation max_resolution epoch optimizer lr_warmup warmup_ratio dim alpha"
        " lora_network_weights sdxl sdxl_no_half_vae weight_decay"
    )
    unknown = {
        name
        for field in all_fields()
        for name in field.option.kohya
        if name not in known | set(other.split())
    }
    assert unknown == set()


# Option, value, setting, what it becomes; with a plain LoRA around it.
SAME = [
    ("v2", True, "model.family", "sd2"),
    ("v_parameterization", True, "model.prediction", "velocity"),
    ("no_half_vae", True, "precision.vae", "fp32"),
    ("clip_skip", 2, "model.clip_skip", 2),
    ("output_name", "mira", "metadata.name", "mira"),
    ("save_precision", "float", "saving.precision", "fp32"),
    ("save_precision", "bf16", "saving.precision", "bf16"),
    ("save_every_n_epochs", 2, "saving.every", Duration(2, "epochs")),
    ("save_every_n_steps", 500, "saving.every", Duration(500, "steps")),
    ("save_n_epoch_ratio", 5, "saving.every", Duration(20, "percent")),
    ("save_last_n_epochs", 3, "saving.keep", 3),
    ("save_last_n_epochs_state", 2, "saving.keep_states", 2),
    ("save_state", True, "saving.during", ("result", "state")),
    ("save_state_on_train_end", True, "saving.at_end", ("result", "state")),
    ("no_metadata", True, "metadata.content", "plain"),
    ("training_comment", "hello", "metadata.comment", "hello"),
    ("metadata_title", "T", "metadata.title", "T"),
    ("metadata_author", "A", "metadata.author", "A"),
    ("metadata_description", "D", "metadata.description", "D"),
    ("metadata_license", "L", "metadata.license", "L"),
    ("metadata_tags", "one, two", "metadata.tags", ("one", "two")),
    ("metadata_usage_hint", "U", "metadata.usage", "U"),
    ("metadata_trigger_phrase", "P", "metadata.trigger", "P"),
    ("train_batch_size", 4, "length.batch_size", 4),
    ("gradient_accumulation_steps", 2, "length.accumulation", 2),
    ("max_train_steps", 2000, "length.train_for", Duration(2000, "steps")),
    ("max_train_epochs", 12, "length.train_for", Duration(12, "epochs")),
    ("seed", 42, "draws.seed", 42),
    ("mixed_precision", "bf16", "precision.mixed", "bf16"),
    ("gradient_checkpointing", True, "memory.checkpointing", "on"),
    ("cpu_offload_checkpointing", True, "memory.checkpointing", "offload"),
    ("torch_compile", True, "memory.compile", "on"),
    ("cache_latents", True, "memory.cache_latents", "memory"),
    ("cache_latents_to_disk", True, "memory.cache_latents", "disk"),
    ("vae_batch_size", 4, "memory.vae_batch", 4),
    ("skip_cache_check", True, "memory.trust_cache", True),
    ("optimizer_type", "Lion8bit", "optimizer.name", "Lion8bit"),
    ("optimizer_type", "adamw8BIT", "optimizer.name", "AdamW8bit"),
    ("use_8bit_adam", True, "optimizer.name", "AdamW8bit"),
    ("use_lion_optimizer", True, "optimizer.name", "Lion"),
    ("learning_rate", 3e-4, "rates.learning_rate", 3e-4),
    ("max_grad_norm", 0, "optimizer.max_grad_norm", 0.0),
    ("lr_scheduler", "cosine", "rates.schedule", "cosine"),
    ("lr_scheduler_num_cycles", 3, "rates.restarts", 3),
    ("lr_scheduler_power", 2.0, "rates.power", 2.0),
    ("lr_scheduler_timescale", 100, "rates.timescale", Duration(100, "steps")),
    ("lr_scheduler_min_lr_ratio", 0.1, "rates.floor", 0.1),
    ("unet_lr", 2e-4, "parts.unet.rate", 2e-4),
    ("unet_lr", 0, "parts.unet.train", False),
    ("text_encoder_lr", 1e-5, "parts.text_encoder_1.rate", 1e-5),
    ("text_encoder_lr", [1e-5, 5e-6], "parts.text_encoder_2.rate", 5e-6),
    ("text_encoder_lr", 0, "parts.text_encoder_2.train", False),
    ("network_dropout", 0.1, "network.dropout", 0.1),
    ("network_train_unet_only", True, "parts.text_encoder_1.train", False),
    ("network_train_text_encoder_only", True, "parts.unet.train", False),
    ("scale_weight_norms", 1.0, "network.max_norm", 1.0),
    ("max_token_length", 225, "captions.max_tokens", 225),
    ("weighted_captions", True, "captions.weights", True),
    ("noise_offset", 0.05, "noise.offset", 0.05),
    ("multires_noise_iterations", 6, "noise.pyramid_levels", 6),
    ("multires_noise_discount", 0.2, "noise.pyramid_discount", 0.2),
    ("ip_noise_gamma", 0.1, "noise.perturbation", 0.1),
    ("ip_noise_gamma_random_strength", True, "noise.perturbation_random", True),
    ("noise_offset_random_strength", True, "noise.offset_random", True),
    ("adaptive_noise_scale", 0.01, "noise.offset_adaptive", 0.01),
    ("zero_terminal_snr", True, "noise.zero_terminal", "on"),
    ("min_timestep", 100, "noise.first_timestep", 100),
    ("max_timestep", 900, "noise.last_timestep", 900),
    ("loss_type", "huber", "loss.kind", "huber"),
    ("huber_schedule", "constant", "loss.huber_schedule", "constant"),
    ("huber_c", 0.2, "loss.huber_c", 0.2),
    ("huber_scale", 2.0, "loss.huber_scale", 2.0),
    ("min_snr_gamma", 5, "loss.min_snr_gamma", 5.0),
    ("scale_v_pred_loss_like_noise_pred", True, "loss.scale_v_pred", True),
    ("v_pred_like_loss", 0.5, "loss.v_pred_like", 0.5),
    ("debiased_estimation_loss", True, "loss.debiased", True),
    ("prior_loss_weight", 0.5, "class_pictures.weight", 0.5),
    ("masked_loss", True, "pictures.masks", True),
    ("validation_split", 0.1, "validation.share", 0.1),
    ("validation_seed", 7, "validation.seed", 7),
    ("validate_every_n_steps", 100, "validation.every", Duration(100, "steps")),
    ("validate_every_n_epochs", 2, "validation.every", Duration(2, "epochs")),
    ("max_validation_steps", 9, "validation.most", 9),
    ("sample_every_n_steps", 200, "previews.every", Duration(200, "steps")),
    ("sample_every_n_epochs", 1, "previews.every", Duration(1, "epochs")),
    ("sample_at_first", True, "previews.at_start", True),
    ("sample_sampler", "euler_a", "previews.sampler", "euler a"),
    ("log_with", "tensorboard", "logging.tensorboard", True),
    ("log_with", "wandb", "logging.wandb", "network_train"),
    ("wandb_run_name", "r1", "logging.wandb_run", "r1"),
    ("resolution", "512,768", "pictures.resolution", Size(512, 768)),
    ("enable_bucket", True, "pictures.buckets", True),
    ("bucket_reso_steps", 32, "pictures.bucket_step", 32),
    ("bucket_no_upscale", True, "pictures.upscale", False),
    ("resize_interpolation", "cubic", "pictures.filter", "bicubic"),
    ("caption_extension", ".txt", "captions.files", (".txt",)),
    ("caption_extention", ".cap", "captions.files", (".cap",)),
    ("caption_separator", ";", "captions.separator", ";"),
    ("secondary_separator", ";;;", "captions.secondary_separator", ";;;"),
    ("shuffle_caption", True, "captions.shuffle", True),
    ("keep_tokens", 2, "captions.keep_tokens", 2),
    ("keep_tokens_separator", "|||", "captions.keep_separator", "|||"),
    ("enable_wildcard", True, "captions.lines", "draw"),
    ("caption_prefix", "a", "captions.prefix", "a"),
    ("caption_suffix", "z", "captions.suffix", "z"),
    ("caption_dropout_rate", 0.1, "captions.dropout", 0.1),
    ("caption_dropout_every_n_epochs", 3, "captions.dropout_every", 3),
    ("caption_tag_dropout_rate", 0.2, "captions.tag_dropout", 0.2),
    ("token_warmup_min", 2, "captions.token_warmup_min", 2),
    ("token_warmup_step", 100, "captions.token_warmup", Duration(100, "steps")),
    ("token_warmup_step", 0.25, "captions.token_warmup", Duration(25, "percent")),
    ("flip_aug", True, "pictures.flip", True),
    ("random_crop", True, "pictures.crop", "random"),
    ("face_crop_aug_range", "2.0,4.0", "pictures.face_zoom_max", 4.0),
    ("alpha_mask", True, "pictures.alpha", "mask"),
    ("network_weights", "old.safetensors", "network.start_from", "old.safetensors"),
    ("vae", "vae.pt", "model.vae", "vae.pt"),
    ("sample_prompts", "p.txt", "previews.file", "p.txt"),
    ("base_weights", ["a.safetensors"], "model.merge", ("a.safetensors:1",)),
]


@pytest.mark.parametrize(("name", "value", "path", "expected"), SAME)
def test_an_option_is_honoured(name: str, value: Any, path: str, expected: Any) -> None:
    imported = read_config({**LORA, name: value}, here=everything_here())
    assert value_at(imported.run, path) == expected
    assert imported.report.line(name).fate is Fate.HONOURED


ARGUMENTS = [
    ("conv_dim=4", "network.conv_rank", 4),
    ("conv_alpha=2", "network.conv_alpha", 2.0),
    ("rank_dropout=0.1", "network.rank_dropout", 0.1),
    ("module_dropout=0.2", "network.module_dropout", 0.2),
    ("loraplus_lr_ratio=16", "network.plus_ratio", 16.0),
    ("loraplus_unet_lr_ratio=8", "network.plus_ratio_unet", 8.0),
    ("loraplus_text_encoder_lr_ratio=4", "network.plus_ratio_text", 4.0),
    (f"block_dims={','.join(['2'] * 25)}", "network.block_ranks", (2,) * 25),
    (f"up_lr_weight={','.join(['0.5'] * 12)}", "parts.unet.block_rates", (1.0,) * 13 + (0.5,) * 12),
    ("mid_lr_weight=0.25", "parts.unet.block_rates", (1.0,) * 12 + (0.25,) + (1.0,) * 12),
    ("down_lr_weight=zeros+.5", "parts.unet.block_rates", (0.5,) * 12 + (1.0,) * 13),
]


@pytest.mark.parametrize(("argument", "path", "expected"), ARGUMENTS)
def test_a_network_argument_is_honoured(argument: str, path: str, expected: Any) -> None:
    imported = read_lora(network_args=[argument])
    assert value_at(imported.run, path) == expected
    assert [line.fate for line in imported.report.lines if line.key.startswith("network_args")] == [
        Fate.HONOURED
    ]


LYCORIS = [
    ("locon", "lora"),
    ("loha", "loha"),
    ("lokr", "lokr"),
    ("ia3", "ia3"),
    ("glora", "glora"),
    ("full", "full"),
    ("diag-oft", "oft"),
]


@pytest.mark.parametrize(("algorithm", "kind"), LYCORIS)
def test_lycoris_algorithms(algorithm: str, kind: str) -> None:
    imported = read_lora(network_module="lycoris.kohya", network_args=[f"algo={algorithm}"])
    assert imported.run.network.kind == kind
    assert imported.report.line("network_module").fate is Fate.HONOURED


def test_lycoris_takes_the_rank_for_convolutions_too() -> None:
    run = read_lora(network_module="lycoris.kohya", network_args=["algo=locon"]).run
    assert (run.network.conv_rank, run.network.conv_alpha) == (8, 4.0)
    linear = read_lora(network_module="lycoris.kohya", network_args=["algo=locon", "preset=attn-mlp"]).run
    assert linear.network.conv_rank == 0


def test_schedules_that_only_forks_know_by_name() -> None:
    imported = read_lora(lr_scheduler="rex")
    assert imported.run.rates.schedule == "rex"
    assert imported.report.line("lr_scheduler").fate is Fate.DIFFERENTLY


def test_modules_that_work_another_way_are_told() -> None:
    for module in ("networks.lora_fa", "networks.dylora"):
        imported = read_lora(network_module=module)
        assert imported.run.network.kind == "lora"
        assert imported.report.line("network_module").fate is Fate.DIFFERENTLY
    imported = read_lora(network_module="networks.lora_unheard_of")
    assert imported.report.line("network_module").fate is Fate.NEEDS_YOU


def test_weights_at_or_below_the_threshold_leave_their_blocks_out() -> None:
    run = read_lora(
        network_args=[f"down_lr_weight={','.join(['0.1'] * 6 + ['1'] * 6)}", "block_lr_zero_threshold=0.1"]
    ).run
    assert run.parts.unet.block_rates == (0.0,) * 6 + (1.0,) * 19


def test_lists_of_sdxl_length_become_23_blocks() -> None:
    run = read_lora(network_args=["mid_lr_weight=0.1,0.2,0.3"]).run
    assert run.parts.unet.block_rates == (1.0,) * 10 + (0.1, 0.2, 0.3) + (1.0,) * 10


def test_block_rates_of_a_whole_model_are_factors() -> None:
    rates = ",".join(["1e-5"] * 10 + ["5e-6"] * 3 + ["0"] * 10)
    run = read_config({"learning_rate": 1e-5, "block_lr": rates, "train_text_encoder": False}).run
    assert run.parts.unet.block_rates == (1.0,) * 10 + (0.5,) * 3 + (0.0,) * 10
    assert run.network.kind == "none"
    assert run.model.family == "sdxl"


def test_weight_decay_left_out_is_the_optimizers_own() -> None:
    assert read_lora(optimizer_type="AdamW8bit").run.optimizer.weight_decay == 0.01
    assert read_lora(optimizer_type="Lion").run.optimizer.weight_decay == 0.0
    assert read_lora(optimizer_type="Prodigy").run.optimizer.weight_decay == 0.0


def test_nesterov_is_momentum() -> None:
    optimizer = read_lora(optimizer_type="SGDNesterov", optimizer_args=["momentum=0.8"]).run.optimizer
    assert optimizer.name == "SGD"
    assert optimizer.arguments == {"nesterov": True, "momentum": 0.8}


def test_training_a_word() -> None:
    run = read_config(
        {"token_string": "mira", "init_word": "girl", "num_vectors_per_token": 4, "learning_rate": 5e-4}
    ).run
    assert [(word.name, word.start_as, word.vectors) for word in run.words] == [("mira", "girl", 4)]
    assert run.parts.words.train and not run.parts.unet.train and not run.parts.text_encoder_1.train
    assert run.rates.learning_rate == 5e-4 and run.parts.words.rate == 0.0


def test_whole_sdxl_text_encoders_with_a_rate_of_0_stay_as_they_are() -> None:
    run = read_config(
        {"train_text_encoder": True, "learning_rate": 1e-5, "learning_rate_te1": 5e-6, "learning_rate_te2": 0}
    ).run
    assert run.parts.text_encoder_1.train and run.parts.text_encoder_1.rate == 5e-6
    assert not run.parts.text_encoder_2.train


def test_the_text_encoder_of_a_whole_model_stops() -> None:
    run = read_config({"stop_text_encoder_training": 500, "max_train_steps": 2000}).run
    assert run.parts.text_encoder_1.stop == Duration(500, "steps")
    never = read_config({"stop_text_encoder_training": -1, "max_train_steps": 2000}).run
    assert not never.parts.text_encoder_1.train
