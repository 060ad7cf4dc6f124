"""The same for the GUI, the old extension and a file's metadata."""

from __future__ import annotations

import pytest

from lib_dreambooth.base.durations import UNTIL_STOPPED, Duration
from lib_dreambooth.settings.fields import value_at
from lib_dreambooth.settings.recipes import Fate
from tests.settings_recipes.recipe_samples import read_header, read_json

GUI = {"LoRA_type": "Standard", "max_resolution": "512,512", "lr_scheduler": "cosine"}
ZEROS = [
    ("max_grad_norm", "optimizer.max_grad_norm", 0.0, 1.0),
    ("prior_loss_weight", "class_pictures.weight", 0.0, 1.0),
    ("multires_noise_discount", "noise.pyramid_discount", 0.0, 0.3),
    ("network_alpha", "network.alpha", 0.0, 1.0),
]


@pytest.mark.parametrize(("key", "path", "meant", "run"), ZEROS)
def test_the_gui_drops_zeros(key: str, path: str, meant: float, run: float) -> None:
    for as_run, expected in ((False, meant), (True, run)):
        imported = read_json({**GUI, key: 0}, as_run=as_run)
        assert value_at(imported.run, path) == expected
        assert any(found.topic == f"{key} = 0" for found in imported.report.differences)
    assert imported.report.line(key).value == "0"


def test_the_gui_drops_the_zero_that_should_stop_a_text_encoder() -> None:
    tab = {
        "sdxl": True,
        "learning_rate": 1e-5,
        "learning_rate_te1": 5e-6,
        "learning_rate_te2": 0,
        "max_resolution": "1024",
    }
    meant = read_json({**tab, "train_text_encoder": True})
    assert not meant.run.parts.text_encoder_2.train
    assert read_json({**tab, "train_text_encoder": True}, as_run=True).run.parts.text_encoder_2.train


def test_a_rate_of_0_in_the_gui_is_a_switch() -> None:
    imported = read_json({**GUI, "text_encoder_lr": 0, "unet_lr": 1e-4})
    assert not imported.run.parts.text_encoder_1.train and not imported.run.parts.text_encoder_2.train


def test_the_gui_fills_in_1600_steps_by_itself() -> None:
    values = {**GUI, "epoch": 10, "max_train_steps": 1600, "max_train_epochs": 0}
    meant = read_json(values)
    assert meant.run.length.train_for == Duration(10, "epochs")
    assert meant.report.line("max_train_steps").fate is Fate.NO_MEANING
    run = read_json(values, as_run=True)
    assert run.run.length.train_for == Duration(1600, "steps")
    assert run.report.line("epoch").fate is Fate.NO_MEANING
    typed = read_json({**values, "max_train_steps": 2400})
    assert typed.run.length.train_for == Duration(2400, "steps")
    assert read_json({**values, "max_train_epochs": 4}).run.length.train_for == Duration(4, "epochs")


def test_the_guis_own_forms() -> None:
    imported = read_json(
        {
            **GUI,
            "lr_warmup": 10,
            "lr_warmup_steps": 0,
            "lr_scheduler_num_cycles": "",
            "epoch": 7,
            "xformers": "sdpa",
            "optimizer_args": "betas=0.9,0.95 'eps=1e-6'",
            "stop_text_encoder_training": 40,
        }
    )
    assert imported.run.rates.warmup == Duration(10, "percent")
    assert imported.run.rates.restarts == 7
    assert imported.run.optimizer.arguments == {"betas": (0.9, 0.95), "eps": 1e-6}
    assert imported.run.parts.text_encoder_1.stop == Duration(40, "percent")
    assert read_json({**GUI, "lr_warmup": 10, "lr_warmup_steps": 50}).run.rates.warmup == Duration(
        50, "steps"
    )


def test_the_guis_noise_type_chooses_which_values_count() -> None:
    both = {"noise_offset": 0.05, "adaptive_noise_scale": 0.01, "multires_noise_iterations": 6}
    original = read_json({**GUI, **both, "noise_offset_type": "Original"}).run.noise
    assert (original.offset, original.pyramid_levels) == (0.05, 0)
    multires = read_json({**GUI, **both, "noise_offset_type": "Multires"}).run.noise
    assert (multires.offset, multires.pyramid_levels) == (0.0, 6)


GUI_TYPES = [
    ("Standard", "lora", 0),
    ("Kohya LoCon", "lora", 4),
    ("LoRA-FA", "lora", 4),
    ("Kohya DyLoRA", "lora", 4),
    ("LyCORIS/LoCon", "lora", 4),
    ("LyCORIS/LoHa", "loha", 4),
    ("LyCORIS/LoKr", "lokr", 4),
    ("LyCORIS/iA3", "ia3", None),
    ("LyCORIS/GLoRA", "glora", 4),
    ("LyCORIS/Diag-OFT", "oft", None),
    ("LyCORIS/BOFT", "oft", None),
    ("LyCORIS/Native Fine-Tuning", "full", None),
]


@pytest.mark.parametrize(("name", "kind", "conv_rank"), GUI_TYPES)
def test_the_guis_network_types(name: str, kind: str, conv_rank: int | None) -> None:
    run = read_json({**GUI, "LoRA_type": name, "network_dim": 8, "conv_dim": 4}).run
    assert run.network.kind == kind
    if conv_rank is not None:
        assert run.network.conv_rank == conv_rank


def test_additional_parameters_are_a_command_line() -> None:
    imported = read_json(
        {
            **GUI,
            "additional_parameters": '--caption_tag_dropout_rate .1 --network_args "rank_dropout=0.2" --wat',
        }
    )
    assert imported.run.captions.tag_dropout == 0.1
    assert imported.run.network.rank_dropout == 0.2
    assert imported.report.line("additional_parameters[--wat]").fate is Fate.NO_MEANING


# The old extension.
def test_the_alpha_that_the_extension_wrote_is_not_what_it_trained() -> None:
    imported = read_json({"use_lora": True, "lora_unet_rank": 16, "lora_weight": 0.8, "offset_noise": 0.0})
    assert imported.run.network.alpha == 0.0
    assert imported.report.line("lora_weight").fate is Fate.DIFFERENTLY


DEAD = [
    ("min_snr_gamma", 5.0, "loss.min_snr_gamma", 5.0, 0.0),
    ("lora_txt_learning_rate", 5e-5, "parts.text_encoder_1.rate", 5e-5, 0.0),
]


@pytest.mark.parametrize(("key", "value", "path", "meant", "run"), DEAD)
def test_fields_of_the_extension_that_did_nothing(
    key: str, value: float, path: str, meant: float, run: float
) -> None:
    config = {"use_lora": True, "lora_learning_rate": 1e-4, "noise_scheduler": "DDPM", key: value}
    assert value_at(read_json(config).run, path) == meant
    assert value_at(read_json(config, as_run=True).run, path) == run


def test_the_extension_counted_pictures_from_december_2022_on() -> None:
    common = {
        "max_train_steps": 2000,
        "train_batch_size": 4,
        "lr_warmup_steps": 100,
        "lr_scheduler": "polynomial",
    }
    november = read_json({**common, "instance_prompt": "sks dog"}).run
    assert (november.length.train_for, november.rates.warmup) == (
        Duration(2000, "steps"),
        Duration(100, "steps"),
    )
    december = read_json({**common, "save_use_epochs": False}).run
    assert (december.length.train_for, december.rates.warmup) == (
        Duration(500, "steps"),
        Duration(25, "steps"),
    )


def test_class_pictures_of_the_extension() -> None:
    concept = {
        "instance_data_dir": "i",
        "class_data_dir": "c",
        "num_class_images_per": 5,
        "num_class_images": 0,
    }
    imported = read_json({"concepts_list": [concept], "stop_text_encoder": 1.0})
    wanted = imported.run.class_pictures
    # The guide's loudest warning: a number above what the folder holds makes it draw into that folder.
    assert (wanted.relation, wanted.draw, wanted.per_picture, wanted.total) == ("beside", False, 5, 0)
    as_run = read_json({"concepts_list": [concept], "stop_text_encoder": 1.0}, as_run=True).run
    assert as_run.class_pictures.draw is True
    assert imported.run.concepts[0].class_folder == "c"
    without = {**concept, "class_data_dir": ""}
    assert read_json({"concepts_list": [without], "stop_text_encoder": 1.0}).run.class_pictures.draw is True
    none = read_json({"concepts_list": [{**concept, "num_class_images_per": 0}], "stop_text_encoder": 1.0})
    assert none.run.class_pictures.relation == "off"


# A file's metadata.
META = {"ss_network_module": "networks.lora", "ss_network_dim": "8", "ss_num_epochs": "10"}


def test_whole_epochs_in_metadata_stay_epochs() -> None:
    whole = {
        **META,
        "ss_max_train_steps": "500",
        "ss_num_batches_per_epoch": "100",
        "ss_gradient_accumulation_steps": "2",
    }
    assert read_header(whole).run.length.train_for == Duration(10, "epochs")
    part = {**whole, "ss_max_train_steps": "480"}
    assert read_header(part).run.length.train_for == Duration(480, "steps")


def test_metadata_of_an_open_end_saves_with_every_epoch() -> None:
    run = read_header({**META, "ss_num_epochs": "9999"}).run
    assert run.length.train_for == UNTIL_STOPPED
    assert (run.saving.every, run.previews.every) == (Duration(1, "epochs"), Duration(1, "epochs"))
    assert run.network.rank == 8


def test_metadata_says_nothing_about_saving_so_it_stays() -> None:
    imported = read_header(META)
    assert imported.run.saving.every == Duration(20, "percent")
    assert imported.run.captions.files == (".txt", ".caption", ".json")
