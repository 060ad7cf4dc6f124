"""The GUIs, the old extension, files' metadata and command lines, each in its own forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lib_dreambooth.base.durations import Duration
from lib_dreambooth.base.errors import FileError
from lib_dreambooth.settings.fields import all_fields, value_at
from lib_dreambooth.settings.recipes import Fate, read_recipe
from lib_dreambooth.settings.recipes.command_line import command_of, options_of
from lib_dreambooth.settings.recipes.detect import Kind, kind_of
from lib_dreambooth.settings.recipes.extension.eras import Era, era_of
from lib_dreambooth.settings.recipes.extension.table import EXTENSION
from lib_dreambooth.settings.recipes.turn import literal, pairs, split_arguments
from lib_dreambooth.settings.values import Size
from tests.settings_recipes.recipe_samples import FIXTURES, legacy, read_fixture, read_json

KINDS = [
    ("twins-lora.toml", "kohya config file"),
    ("kohya-dataset.toml", "kohya dataset file"),
    ("gui-lora-2023.json", "kohya_ss GUI file"),
    ("gui-lora-sdxl.json", "kohya_ss GUI file"),
    ("easy-scripts.toml", "LoRA Easy Training Scripts file"),
    ("popup-cp932.json", "old LoRA Easy Training Scripts file"),
    ("db-config-2022-11.json", "db_config.json"),
    ("db-config-2025.json", "db_config.json"),
    ("lora-metadata.json", "metadata of a LoRA file"),
    ("kohya-command.bat", "command line"),
    ("diffusers-dreambooth.sh", "command line of diffusers'"),
]


@pytest.mark.parametrize(("name", "read_as"), KINDS)
def test_a_file_is_known_by_its_content(name: str, read_as: str) -> None:
    # Under another name, so that nothing can be told from that.
    data = (FIXTURES / name).read_bytes()
    assert read_recipe(data, "file", legacy=legacy).report.read_as.startswith(read_as)


def test_few_names_are_enough() -> None:
    assert kind_of({"img_folder": "x"}, "", True) is Kind.POPUP
    assert kind_of({"LoRA_type": "x"}, "", True) is Kind.GUI
    assert kind_of({"half_model": True}, "", True) is Kind.EXTENSION
    assert kind_of({"instance_data_dir": "x"}, "", True) is Kind.EXTENSION
    assert kind_of([{"instance_data_dir": "x"}], "", True) is Kind.CONCEPTS
    assert kind_of({"__metadata__": {"ss_seed": "1"}}, "", True) is Kind.METADATA


ERAS = [
    ("db-config-2022-11.json", Era.NOV_2022),
    ("db-config-2022-12.json", Era.DEC_2022),
    ("db-config-2023-01.json", Era.JAN_2023),
    ("db-config-2023-02.json", Era.FEB_2023),
    ("db-config-2025.json", Era.LAST),
]


@pytest.mark.parametrize(("name", "era"), ERAS)
def test_the_forms_of_db_config(name: str, era: Era) -> None:
    assert era_of(json.loads((FIXTURES / name).read_text(encoding="utf-8"))) is era


def test_the_japanese_guides_config() -> None:
    run = read_fixture("db-config-2022-11.json").run
    assert run.network.kind == "none"
    assert run.model.base.endswith("wd-v1-3-float16.ckpt")
    concept = run.concepts[0]
    assert (concept.folder, concept.prompt, concept.class_prompt) == ("C:\\sd\\nanU", "nanU Unan", "Unan")
    assert (run.class_pictures.relation, run.class_pictures.total) == ("beside", 200)
    assert (run.rates.learning_rate, run.rates.schedule, run.rates.warmup) == (
        1e-6,
        "polynomial",
        Duration(15, "steps"),
    )
    assert run.rates.scale is True
    assert (run.optimizer.name, run.precision.mixed, run.memory.checkpointing) == ("AdamW8bit", "fp16", "on")
    assert (run.length.train_for, run.saving.every) == (Duration(2000, "steps"), Duration(500, "steps"))
    assert run.pictures.buckets is False and run.pictures.flip is False and run.ema.use is False


def test_a_lora_of_the_extensions_last_form() -> None:
    run = read_fixture("db-config-2025.json").run
    assert (run.network.kind, run.network.rank, run.network.text_rank) == ("lora", 16, 8)
    assert run.network.targets == "attention"
    assert run.parts.text_encoder_1.stop == Duration(75, "percent")
    assert run.saving.during == ("result", "checkpoint")
    assert (run.class_pictures.fall, run.class_pictures.weight_min) == (Duration(100, "epochs"), 0.1)


def test_a_list_of_concepts_alone() -> None:
    concepts = [
        {"instance_data_dir": "a", "instance_token": "sks", "class_token": "dog"},
        {"instance_data_dir": "b", "instance_prompt": "photo of xyz"},
    ]
    run = read_json(concepts).run
    assert [(c.folder, c.token, c.class_token, c.prompt) for c in run.concepts] == [
        ("a", "sks", "dog", "[filewords]"),
        ("b", "", "", "photo of xyz"),
    ]


def test_the_extensions_list_of_concepts_in_a_file_of_its_own() -> None:
    config = {
        "use_concepts": True,
        "concepts_path": "c.json",
        "concepts_list": [{"instance_data_dir": "old"}],
    }
    told = b'[{"instance_data_dir": "new"}]'
    imported = read_json({**config, "tomesd": 0.1}, beside=lambda path: told if path == "c.json" else None)
    assert [concept.folder for concept in imported.run.concepts] == ["new"]
    assert imported.report.line("concepts_list").fate is Fate.NO_MEANING
    gone = read_json({**config, "tomesd": 0.1})
    assert gone.report.line("concepts_path").fate is Fate.NEEDS_YOU
    assert [concept.folder for concept in gone.run.concepts] == ["old"]


def test_the_old_dialogs() -> None:
    run = read_fixture("popup-cp932.json").run
    assert run.concepts[0].folder == "D:/学習/画像"
    assert run.pictures.resolution == Size(512, 768)
    assert (run.network.conv_rank, run.network.conv_alpha) == (16, 8.0)
    assert run.rates.warmup == Duration(5, "percent")


def test_what_the_old_dialogs_never_asked() -> None:
    run = read_json({"base_model": "m", "img_folder": "i", "net_dim": 8}).run
    assert run.draws.seed == 23
    assert (run.pictures.buckets, run.pictures.bucket_min, run.pictures.bucket_max) == (True, 320, 960)
    assert (run.captions.files, run.captions.max_tokens) == ((".txt",), 150)


OTHER_TOOLS = [
    (
        {"training_method": "LORA", "base_model_name": "x", "learning_rate": 1e-4, "optimizer": {}},
        "other-tool",
    ),
    (
        {"a.png": {"caption": "a cat"}, "b.png": {"tags": "1girl", "train_resolution": [512, 512]}},
        "captions-list",
    ),
    ({"seed": 1, **{f"unheard_{k}": k for k in range(20)}}, "unknown-recipe"),
]


@pytest.mark.parametrize(("content", "code"), OTHER_TOOLS)
def test_what_only_looks_like_a_recipe_is_refused_by_name(content: dict[str, Any], code: str) -> None:
    with pytest.raises(FileError) as raised:
        read_json(content)
    assert raised.value.code == code and raised.value.todo


def test_the_gui_ticks_models_that_are_not_trained_here() -> None:
    imported = read_json({"LoRA_type": "Standard", "flux1_checkbox": True, "sd3_checkbox": False})
    assert imported.report.line("flux1_checkbox").fate is Fate.NEEDS_YOU
    assert imported.report.line("sd3_checkbox").fate is Fate.HONOURED


def test_older_names_of_the_gui() -> None:
    imported = read_json({"sdxl_checkbox": True, "max_train_epochs": "3", "learning_rate": 1e-5})
    assert imported.run.model.family == "sdxl"
    words = read_json({"token_string": "mira", "init_word": "girl", "template": "style template"})
    assert words.run.parts.words.template == "style"


def test_ranks_that_mean_whole_matrices() -> None:
    values = {"LoRA_type": "LyCORIS/LoKr", "network_dim": 100000, "conv_dim": 100000, "factor": 6}
    imported = read_json(values)
    assert (imported.run.network.rank, imported.run.network.conv_rank) == (4096, 4096)
    assert imported.report.line("network_dim").fate is Fate.DIFFERENTLY
    assert (
        read_json({**values, "LoRA_type": "LyCORIS/LoHa"}).report.line("network_dim").fate is Fate.NEEDS_YOU
    )


SIZES = [
    ("bucket_reso_steps", 1, "pictures.bucket_step", 8, Fate.DIFFERENTLY),
    ("bucket_reso_steps", 70, "pictures.bucket_step", 64, Fate.DIFFERENTLY),
    ("bucket_reso_steps", 32, "pictures.bucket_step", 32, Fate.HONOURED),
    ("bucket_reso_steps", -1, "pictures.bucket_step", 64, Fate.NEEDS_YOU),
    ("max_resolution", "650,651", "pictures.resolution", Size(648, 648), Fate.DIFFERENTLY),
    ("max_resolution", "768,512", "pictures.resolution", Size(768, 512), Fate.HONOURED),
    ("max_resolution", "4,4", "pictures.resolution", Size(0, 0), Fate.NEEDS_YOU),
]


@pytest.mark.parametrize(("key", "value", "path", "expected", "fate"), SIZES)
def test_sizes_between_the_steps_of_latents(
    key: str, value: Any, path: str, expected: Any, fate: Fate
) -> None:
    imported = read_json({"LoRA_type": "Standard", key: value})
    assert imported.report.line(key).fate is fate
    if fate is not Fate.NEEDS_YOU:
        assert value_at(imported.run, path) == expected


def test_easy_scripts() -> None:
    imported = read_fixture("easy-scripts.toml")
    run = imported.run
    assert [(c.name, c.role, c.repeats) for c in run.concepts] == [
        ("subset 1", "train", 3),
        ("regularisation", "class", 1),
    ]
    assert (run.network.kind, run.network.factor, run.model.family) == ("lokr", 8, "sdxl")
    assert (run.optimizer.name, run.optimizer.weight_decay) == ("CAME", 0.1)
    assert run.rates.schedule == "rex"
    assert run.pictures.resolution == Size(1024, 1024) and run.length.batch_size == 2


def test_easy_scripts_train_words() -> None:
    text = (
        '[train_mode]\ntrain_mode = "textual_inversion"\n[general_args.args]\nmax_train_epochs = 3\n'
        '[textual_inversion_args.args]\ntoken_string = "mira"\nnum_vectors_per_token = 2\n'
    )
    run = read_recipe(text.encode(), "t.toml").run
    assert run.words[0].name == "mira" and run.words[0].vectors == 2 and run.parts.words.train


COMMANDS = [
    ("python train_dreambooth.py --a=1 --b 2.5 --c", [("a", 1), ("b", 2.5), ("c", True)]),
    ('accelerate launch x/train_dreambooth.py --a "two words" --b=1e-4', [("a", "two words"), ("b", 1e-4)]),
    ("python train_dreambooth.py \\\n  --a=1 \\\n  --b=2", [("a", 1), ("b", 2)]),
    ("python train_dreambooth.py ^\r\n --a=1 ^\r\n --b=2", [("a", 1), ("b", 2)]),
    ("python train_dreambooth.py `\n --a=1 `\n --b=2", [("a", 1), ("b", 2)]),
    ("export D=x\npython train_dreambooth.py --a=$D --b=${D}/y", [("a", "x"), ("b", "x/y")]),
    ("set D=x\r\npython train_dreambooth.py --a=%D%", [("a", "x")]),
    ('$D = "x y"\npython train_dreambooth.py --a="$D"', [("a", "x y")]),
    ("python train_dreambooth.py --a C:\\new\\table", [("a", "C:\\new\\table")]),
    ('"C:\\my tools\\train_network.py" --a 1 2', [("a", [1, 2])]),
    ("# python train_old.py --a=1\npython train_dreambooth.py --a=2", [("a", 2)]),
    ("python train_dreambooth.py --a=-1 --b -2", [("a", -1), ("b", -2)]),
]


@pytest.mark.parametrize(("text", "options"), COMMANDS)
def test_commands_of_every_shell(text: str, options: list[tuple[str, Any]]) -> None:
    command = command_of(text)
    assert command is not None
    assert list(command.options) == options


def test_the_launchers_precision_counts_for_diffusers_and_not_for_kohya() -> None:
    launch = "accelerate launch --mixed_precision=bf16"
    diffusers = f"{launch} train_dreambooth.py --instance_data_dir=x --instance_prompt=y"
    assert read_recipe(diffusers.encode(), "run.sh").run.precision.mixed == "bf16"
    own = f"{diffusers} --mixed_precision=fp16"
    assert read_recipe(own.encode(), "run.sh").run.precision.mixed == "fp16"
    kohya = f"{launch} train_network.py --network_module=networks.lora"
    imported = read_recipe(kohya.encode(), "run.sh")
    assert imported.run.precision.mixed == "no"
    assert imported.report.line("launch --mixed_precision").fate is Fate.NO_MEANING


SCRIPTS = [
    ("train_dreambooth.py", "none", "auto", 5e-6, 4),
    ("train_dreambooth_lora.py", "lora", "auto", 5e-4, 4),
    ("train_dreambooth_lora_sdxl.py", "lora", "sdxl", 1e-4, 4),
    ("train_text_to_image.py", "none", "auto", 1e-4, 16),
    ("train_text_to_image_sdxl.py", "none", "sdxl", 1e-4, 16),
    ("train_text_to_image_lora.py", "lora", "auto", 1e-4, 16),
    ("train_text_to_image_lora_sdxl.py", "lora", "sdxl", 1e-4, 16),
]


@pytest.mark.parametrize(("script", "kind", "family", "rate", "batch"), SCRIPTS)
def test_diffusers_scripts(script: str, kind: str, family: str, rate: float, batch: int) -> None:
    run = read_recipe(f"python {script} --train_data_dir=x --seed=1".encode(), "run.sh").run
    assert (run.network.kind, run.model.family) == (kind, family)
    assert (run.rates.learning_rate, run.length.batch_size) == (rate, batch)
    if kind == "lora":
        assert (run.network.rank, run.network.alpha, run.network.targets) == (4, 0.0, "attention")
    assert run.parts.text_encoder_1.train is False


def test_prior_preservation_of_diffusers() -> None:
    run = read_fixture("diffusers-dreambooth.sh").run
    assert run.model.base == "runwayml/stable-diffusion-v1-5"
    assert (run.class_pictures.relation, run.class_pictures.total, run.class_pictures.draw) == (
        "beside",
        200,
        True,
    )
    assert run.concepts[0].class_folder == "/home/me/dogs"
    assert run.parts.text_encoder_1.train is True


def test_options_without_prior_preservation_do_nothing() -> None:
    command = "python train_dreambooth.py --instance_data_dir=x --class_data_dir=y --num_class_images=100"
    imported = read_recipe(command.encode(), "run.sh")
    assert imported.run.class_pictures.relation == "off"
    assert imported.report.line("--num_class_images").fate is Fate.NO_MEANING


def test_arguments_in_every_form() -> None:
    assert pairs(["a=1", "b=x=y"]) == [("a", "1"), ("b", "x=y")]
    assert pairs("a=1 b='2 3'") == [("a", "1"), ("b", "2 3")]
    assert pairs("a=1, b=2") == [("a", "1"), ("b", "2")]
    assert pairs("betas=0.9,0.99 eps = 1e-6") == [("betas", "0.9,0.99"), ("eps", "1e-6")]
    assert pairs({"a": 1}) == [("a", 1)]
    assert split_arguments("betas=(0.9, 0.99) x=1")[-1] == "x=1"
    assert literal("0.9,0.99") == (0.9, 0.99)
    assert literal("True") is True
    assert literal("__import__('os')") == "__import__('os')"
    assert list(options_of("--a -1 --b")) == [("a", -1), ("b", True)]


def test_names_of_the_old_extension_in_the_schema_have_rows() -> None:
    named = {name for field in all_fields() for name in field.option.old}
    assert named - set(EXTENSION) == set()
