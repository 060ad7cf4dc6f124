"""Where a tool does other than its options say: as meant by default, as run on request, told in both."""

from __future__ import annotations

from typing import Any

import pytest

from lib_dreambooth.base.durations import UNTIL_STOPPED, Duration
from lib_dreambooth.settings.fields import value_at
from lib_dreambooth.settings.recipes import Fate
from lib_dreambooth.settings.values import AUTO_SIZE, Size
from tests.settings_recipes.recipe_samples import (
    LORA,
    everything_here,
    read_config,
    read_lora,
    read_lora_as_run,
)

SDXL = {"resolution": "1024,1024", "enable_bucket": True}
# Topic, options, setting, as meant, as run.
HABITS = [
    ("crop coordinates of SDXL", SDXL, "pictures.size_ids", "true", "kohya"),
    ("choice of buckets", SDXL, "pictures.bucket_rule", "nearest", "kohya"),
    ("largest side of buckets", SDXL, "pictures.bucket_max", 0, 1024),
    ("photos turned by their camera's mark", {}, "pictures.exif_rotation", True, False),
    ("transparent pictures", {}, "pictures.alpha", "composite", "drop"),
    (
        "weights by noise with zero terminal SNR",
        {"zero_terminal_snr": True, "v_parameterization": True, "min_snr_gamma": 5},
        "loss.snr_of",
        "trained",
        "kohya",
    ),
    ("masks", {"masked_loss": True}, "loss.mask_average", "mask", "picture"),
    (
        "separator of tags",
        {"caption_separator": ";", "shuffle_caption": True},
        "captions.rejoin",
        "separator",
        "comma",
    ),
    ("colour augmentation", {"color_aug": True}, "pictures.colour_change", "gentle", "kohya"),
    (
        "class pictures beyond the number needed",
        {"reg_data_dir": "r"},
        "class_pictures.surplus",
        "rotate",
        "leave out",
    ),
    ("cached latents", {"cache_latents": True}, "memory.latent_draw", "fresh", "frozen"),
    ("captions over 75 tokens", {"max_token_length": 225}, "captions.long_prompts", "webui", "kohya"),
    (
        "two rates in text_encoder_lr",
        {"text_encoder_lr": [1e-5, 5e-6]},
        "parts.text_encoder_2.rate",
        5e-6,
        1e-5,
    ),
    ("prediction type", {}, "model.prediction", "auto", "noise"),
    (
        "weights in half precision",
        {"full_bf16": True, "mixed_precision": "bf16"},
        "precision.stochastic_rounding",
        True,
        False,
    ),
    ("multires noise", {"multires_noise_iterations": 6}, "noise.pyramid_norm", "picture", "batch"),
    ("ending of caption files", {}, "captions.files", (".caption", ".txt"), (".caption",)),
    ("size of previews", {"sample_prompts": "p.txt"}, "previews.size", AUTO_SIZE, Size(512, 512)),
]


@pytest.mark.parametrize(
    ("topic", "options", "path", "meant", "run"), HABITS, ids=[habit[0] for habit in HABITS]
)
def test_a_habit_of_kohyas(topic: str, options: dict[str, Any], path: str, meant: Any, run: Any) -> None:
    for as_run, expected in ((False, meant), (True, run)):
        imported = read_config({**LORA, **options}, as_run=as_run, here=everything_here())
        assert value_at(imported.run, path) == expected
        told = [found for found in imported.report.differences if found.topic == topic]
        assert len(told) == 1
        assert path in dict(told[0].sets)


@pytest.mark.parametrize(
    ("options", "topic"),
    [
        ({"caption_dropout_every_n_epochs": 2}, "empty captions every N epochs"),
        ({"validation_split": 0.2}, "validation pictures"),
        ({"mixed_precision": "fp16"}, "precision of the noise"),
    ],
)
def test_habits_that_are_not_repeated_are_told(options: dict[str, Any], topic: str) -> None:
    report = read_config({**LORA, **options}, as_run=True).report
    found = next(found for found in report.differences if found.topic == topic)
    assert "not repeated" in found.tool


def test_the_prior_weight_of_whole_sdxl_models_is_meant_though_no_script_reads_it() -> None:
    options = {"train_text_encoder": False, "reg_data_dir": "r", "prior_loss_weight": 0.5}
    meant = read_config(options)
    assert meant.run.class_pictures.weight == 0.5
    assert any(found.topic == "prior_loss_weight" for found in meant.report.differences)
    run = read_config(options, as_run=True)
    assert run.run.class_pictures.weight == 1.0
    assert run.report.line("prior_loss_weight").fate is Fate.NO_MEANING


def test_an_option_of_another_script_is_meant_but_did_nothing() -> None:
    meant = read_lora(stop_text_encoder_training=300, max_train_steps=1000)
    assert meant.run.parts.text_encoder_1.stop == Duration(300, "steps")
    run = read_lora_as_run(stop_text_encoder_training=300, max_train_steps=1000)
    assert run.run.parts.text_encoder_1.stop == Duration(100, "percent")
    assert "does not read it" in run.report.line("stop_text_encoder_training").says


def test_transparent_class_pictures_stay_as_they_were_trained() -> None:
    imported = read_lora(train_data_dir="t", reg_data_dir="r")
    training, class_pictures = imported.run.concepts
    assert (training.role, training.subfolders, training.override) == ("train", "repeats", {})
    assert class_pictures.role == "class"
    assert class_pictures.override == {"pictures.alpha": "drop"}
    assert imported.run.class_pictures.relation == "mixed"


def test_a_training_folder_that_is_no_text_keeps_its_place() -> None:
    imported = read_lora(train_data_dir=5, reg_data_dir="r")
    assert [(concept.role, concept.folder) for concept in imported.run.concepts] == [
        ("train", ""),
        ("class", "r"),
    ]
    assert imported.report.line("train_data_dir").fate is Fate.NEEDS_YOU
    assert any("concepts.0.folder" in sentence for sentence in imported.report.missing)


@pytest.mark.parametrize("epochs", (9999, 99999, 10_000))
def test_an_open_end_goes_on_until_stopped_and_says_its_files(epochs: int) -> None:
    imported = read_lora(max_train_epochs=epochs, save_every_n_epochs=2)
    line = imported.report.line("max_train_epochs")
    assert imported.run.length.train_for == UNTIL_STOPPED
    assert line.fate is Fate.DIFFERENTLY
    assert f"it would write {(epochs - 1) // 2 + 1:,} files" in line.says


def test_an_open_end_by_steps() -> None:
    imported = read_lora(max_train_steps=999_999, save_every_n_steps=500)
    assert imported.run.length.train_for == UNTIL_STOPPED
    assert "every 500 steps" in imported.report.line("max_train_steps").says
    assert read_lora(max_train_steps=100_000).run.length.train_for == Duration(100_000, "steps")


def test_an_open_end_leaves_nothing_that_needs_an_end() -> None:
    options = {"max_train_epochs": 9999, "lr_scheduler": "cosine", "lr_warmup_steps": 0.1}
    meant = read_config({**LORA, **options}).run
    assert meant.rates.schedule == "constant"
    assert meant.rates.warmup == Duration(0, "steps")
    run = read_config({**LORA, **options}, as_run=True).run
    assert run.length.train_for == Duration(9999, "epochs")
    assert (run.rates.schedule, run.rates.warmup) == ("cosine", Duration(10, "percent"))


WARM_UPS = [
    (100, Duration(100, "steps"), Duration(100, "steps")),
    (0.05, Duration(5, "percent"), Duration(5, "percent")),
    ("10%", Duration(10, "percent"), Duration(10, "percent")),
    ("200", Duration(200, "steps"), Duration(200, "steps")),
    (100.0, Duration(100, "steps"), Duration(100, "percent")),
    (1.0, Duration(1, "steps"), Duration(100, "percent")),
    (0, Duration(0, "steps"), Duration(0, "steps")),
]


@pytest.mark.parametrize(("written", "meant", "run"), WARM_UPS)
def test_a_warm_up_with_a_point_is_a_share_of_the_run(written: Any, meant: Duration, run: Duration) -> None:
    options = {"lr_scheduler": "cosine", "lr_warmup_steps": written, "max_train_steps": 1000}
    assert read_lora(**options).run.rates.warmup == meant
    assert read_lora_as_run(**options).run.rates.warmup == run


def test_a_warm_up_of_constant_is_told() -> None:
    line = read_lora(lr_scheduler="constant", lr_warmup_steps=50).report.line("lr_warmup_steps")
    assert "refuses a warm-up" in line.says


def test_numbers_may_be_texts_and_alpha_left_out_is_1() -> None:
    imported = read_config({"network_module": "networks.lora", "network_dim": "32", "learning_rate": "1e-4"})
    assert imported.run.network.rank == 32
    assert imported.run.network.alpha == 1.0
    assert imported.run.rates.learning_rate == 1e-4


def test_resolution_may_be_one_side_or_a_list() -> None:
    for written in ("768", "768,768", 768, [768, 768]):
        assert read_lora(resolution=written).run.pictures.resolution == Size(768, 768)


def test_a_caption_ending_without_its_dot_gets_it() -> None:
    imported = read_lora(caption_extension="txt")
    assert imported.run.captions.files == (".txt",)
    assert imported.report.line("caption_extension").fate is Fate.DIFFERENTLY


def test_steps_kept_are_counted_as_files() -> None:
    imported = read_lora(save_every_n_steps=100, save_last_n_steps=300)
    assert imported.run.saving.keep == 4
    assert imported.report.line("save_last_n_steps").fate is Fate.DIFFERENTLY


def test_repeats_of_the_config_mean_nothing_where_folders_carry_them() -> None:
    assert (
        read_lora(train_data_dir="t", dataset_repeats=5).report.line("dataset_repeats").fate
        is Fate.NO_MEANING
    )
    imported = read_lora(train_data_dir="t", in_json="meta.json", dataset_repeats=5)
    assert imported.run.concepts[0].repeats == 5
    assert imported.run.concepts[0].metadata_file == "meta.json"


def test_adafactor_finds_its_own_rate_unless_told_not_to() -> None:
    own = read_lora(optimizer_type="AdaFactor", learning_rate=1e-3, lr_scheduler="cosine")
    assert own.run.optimizer.arguments == {"relative_step": True}
    assert own.run.rates.schedule == "constant"
    assert own.report.line("learning_rate").fate is Fate.DIFFERENTLY
    given = read_lora(optimizer_type="AdaFactor", learning_rate=1e-3, optimizer_args=["relative_step=False"])
    assert given.run.optimizer.arguments == {"relative_step": False}
    assert given.report.line("learning_rate").fate is Fate.HONOURED


def test_a_fused_pass_is_left_to_the_program_where_it_would_change_the_clipping() -> None:
    base = {"train_text_encoder": False, "fused_backward_pass": True, "optimizer_type": "AdaFactor"}
    assert read_config(base).run.memory.fused_backward == "auto"
    assert read_config({**base, "max_grad_norm": 0.0}).run.memory.fused_backward == "on"


def test_seconds_of_two_rhythms_are_told() -> None:
    imported = read_lora(save_every_n_epochs=1, save_every_n_steps=100)
    assert imported.run.saving.every == Duration(1, "epochs")
    assert imported.report.line("save_every_n_steps").fate is Fate.DIFFERENTLY
