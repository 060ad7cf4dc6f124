"""Runs as kohya configs: types that its parser takes, nothing lost, and back again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from lib_dreambooth.base.errors import UserError
from lib_dreambooth.settings import defaults, replace
from lib_dreambooth.settings.files import parsed
from lib_dreambooth.settings.recipes import read_recipe
from lib_dreambooth.settings.recipes.export.kohya import Exported, export_kohya
from lib_dreambooth.settings.recipes.kohya.strict import require_dataset
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import Sourced
from tests.settings.strategies import sourced_runs
from tests.settings_recipes.recipe_samples import NAMES, read_fixture

# The names and types of kohya's arguments, written down apart from the code.
OPTIONS = {
    line.split()[0]: line.split()[1:]
    for line in (Path(__file__).parent / "kohya_options.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
}
READERS = {
    "train_network.py": "N",
    "sdxl_train_network.py": "XN",
    "train_db.py": "DB",
    "sdxl_train.py": "XF",
    "train_textual_inversion.py": "TI",
    "sdxl_train_textual_inversion.py": "TI",
}
KOHYA_FAMILY = [
    name for name in NAMES if not name.startswith(("db-", "diffusers", "lora-metadata", "kohya-dataset"))
]
CHOICES = {
    "mixed_precision": ("no", "fp16", "bf16"),
    "save_precision": ("float", "fp16", "bf16"),
    "loss_type": ("l1", "l2", "huber", "smooth_l1"),
    "huber_schedule": ("constant", "exponential", "snr"),
    "log_with": ("tensorboard", "wandb", "all"),
    "max_token_length": (150, 225),
    "sample_sampler": ("ddim", "euler", "euler_a", "dpmsolver++"),
    "resize_interpolation": ("lanczos", "area", "bicubic", "bilinear", "nearest"),
    "lr_scheduler": (
        "constant",
        "constant_with_warmup",
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "inverse_sqrt",
        "cosine_with_min_lr",
        "warmup_stable_decay",
        "piecewise_constant",
    ),
}


def values_of(exported: Exported) -> dict[str, Any]:
    """The options of an exported config."""
    name, text = next(iter(exported.files.items()))
    return parsed(text, name)


def has_type(value: Any, wanted: str) -> bool:
    """Whether a TOML value has the type that kohya's scripts go on with unchecked."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if wanted == "pairs":
        return isinstance(value, list) and all(isinstance(p, str) and p.count("=") == 1 for p in value)
    table = {
        "switch": value is True,
        "whole": is_whole,
        "number": isinstance(value, float) or is_whole,
        "numbers": isinstance(value, (float, list)) or is_whole,
        "steps": is_whole or (isinstance(value, float) and 0 < value <= 1),
        "text": isinstance(value, str) and value != "",
        "texts": isinstance(value, list),
    }
    return table[wanted]


def check(exported: Exported) -> dict[str, Any]:
    """Every option exists, is read by the script and has its type; a dataset file passes the strict check."""
    script = exported.command.split()[2]
    values = values_of(exported)
    for name, value in values.items():
        kind, _, readers = OPTIONS[name]
        assert has_type(value, kind), (name, value, kind)
        assert readers == "all" or READERS[script] in readers.split(","), (name, script)
        assert value in CHOICES.get(name, (value,)), (name, value)
    for name, text in exported.files.items():
        if name.endswith("-dataset.toml"):
            require_dataset(parsed(text, name), name)
    return values


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("as_run", (False, True))
def test_an_exported_recipe_is_what_kohyas_parser_takes(name: str, as_run: bool) -> None:
    check(export_kohya(read_fixture(name, as_run=as_run).run))


@pytest.mark.parametrize("name", KOHYA_FAMILY)
def test_an_exported_recipe_is_read_back_as_the_same(name: str) -> None:
    first = export_kohya(read_fixture(name).run)

    def beside(path: str) -> bytes | None:
        return first.files[path].encode() if path in first.files else None

    again = read_recipe(first.files["config.toml"].encode(), "config.toml", beside=beside)
    assert not [line for line in again.report.lines if line.fate.value == "no meaning here"]
    second = values_of(export_kohya(again.run))
    # The number of restarts is told only where it is not 1, and previews then have a file.
    assert second == values_of(first)


def comes_back(run: Run) -> Run:
    """The run after one round through kohya's form."""
    exported = export_kohya(run)

    def beside(path: str) -> bytes | None:
        return exported.files[path].encode() if path in exported.files else None

    return read_recipe(exported.files["config.toml"].encode(), "config.toml", beside=beside).run


BACK = [
    {"network.kind": "loha", "network.rank": 4, "network.conv_rank": 2, "network.conv_alpha": 1.0},
    {"network.kind": "lokr", "network.factor": 8, "network.decompose_both": True},
    {"network.targets": "attention"},
    {"network.decompose": True, "network.train_norms": True},
    {"network.plus_ratio": 16.0, "network.rank_dropout": 0.1, "network.module_dropout": 0.2},
    {"network.block_ranks": [4] * 25, "network.block_alphas": [2.0] * 25},
    {"parts.unet.block_rates": [0.0, *[1.0] * 11, 0.5, *[0.25] * 12]},
    {"optimizer.name": "Prodigy", "optimizer.arguments": {"d_coef": 2.0, "betas": [0.9, 0.99]}},
    {"optimizer.name": "SGD", "optimizer.arguments": {"nesterov": True, "momentum": 0.9}},
    {"rates.schedule": "cosine", "rates.warmup": "10 %", "rates.floor": 0.1},
    {"rates.schedule": "constant", "rates.warmup": "100 steps"},
    {"rates.schedule": "cosine_with_restarts", "rates.restarts": 3},
    {"rates.schedule": "piecewise_constant", "rates.pieces": "1:100,0.5"},
    {"rates.schedule": "warmup_stable_decay", "rates.decay": "200 steps", "length.train_for": "1000 steps"},
    {"length.train_for": "until stopped", "saving.every": "1 epochs", "previews.every": "1 epochs"},
    {"saving.every": "500 steps", "saving.keep": 4, "length.train_for": "2000 steps"},
    {"precision.mixed": "bf16", "precision.weights": "half"},
    {"captions.token_warmup": "25 %", "captions.token_warmup_min": 2, "captions.prefix": "a"},
    {"noise.offset": 0.05, "noise.offset_random": True, "noise.pyramid_levels": 6},
    {"loss.kind": "huber", "loss.huber_schedule": "exponential", "loss.huber_c": 0.2},
    {"parts.text_encoder_1.train": False, "parts.text_encoder_2.train": False},
]


@pytest.mark.parametrize("changes", BACK, ids=lambda changes: next(iter(changes)))
def test_settings_come_back(changes: dict[str, Any]) -> None:
    run = replace(defaults().run, {"pictures.resolution": "512", **changes})
    back = comes_back(run)
    for path in changes:
        first, second = run, back
        for part in path.split("."):
            first, second = getattr(first, part), getattr(second, part)
        assert second == first, path


def test_whole_models_and_words_have_their_scripts() -> None:
    whole = replace(defaults().run, {"network.kind": "none", "parts.text_encoder_1.train": False})
    values = check(export_kohya(whole, family="sd1"))
    assert values["stop_text_encoder_training"] == -1
    sdxl = export_kohya(whole, family="sdxl")
    assert sdxl.command == "accelerate launch sdxl_train.py --config_file config.toml"
    assert check(sdxl)["learning_rate_te1"] == 0.0
    parts = {f"parts.{part}.train": False for part in ("unet", "text_encoder_1", "text_encoder_2")}
    words = replace(
        defaults().run, {**parts, "parts.words.train": True, "words": [{"name": "mira", "start_as": "girl"}]}
    )
    values = check(export_kohya(words))
    assert (values["token_string"], values["init_word"], values["learning_rate"]) == ("mira", "girl", 2e-3)


def test_words_beside_a_network_cannot_be_exported() -> None:
    run = replace(defaults().run, {"parts.words.train": True, "words": [{"name": "mira"}]})
    with pytest.raises(UserError, match="words or a model"):
        export_kohya(run)


def test_concepts_become_a_dataset_file() -> None:
    run = replace(
        defaults().run,
        {
            "concepts": [
                {
                    "folder": "a",
                    "repeats": 3,
                    "subfolders": "ignore",
                    "override": {"captions.keep_tokens": 2},
                },
                {"folder": "b", "role": "class", "subfolders": "ignore"},
                {"folder": "c", "subfolders": "ignore", "override": {"pictures.resolution": "768"}},
            ],
            "class_pictures.relation": "mixed",
        },
    )
    exported = export_kohya(run, "mine.toml")
    assert list(exported.files) == ["mine.toml", "mine-dataset.toml"]
    dataset = parsed(exported.files["mine-dataset.toml"], "")
    assert [[subset["image_dir"] for subset in d["subsets"]] for d in dataset["datasets"]] == [
        ["a", "b"],
        ["c"],
    ]
    assert dataset["datasets"][1]["resolution"] == [768, 768]
    assert dataset["datasets"][0]["subsets"][0]["keep_tokens"] == 2
    assert dataset["datasets"][0]["subsets"][1]["is_reg"] is True


def test_what_kohya_cannot_do_is_said() -> None:
    run = replace(
        defaults().run,
        {
            "ema.use": True,
            "rates.schedule": "rex",
            "concepts": [{"folder": "a", "token": "sks", "subfolders": "repeats"}],
        },
    )
    exported = export_kohya(run)
    assert "ema.use = on: kohya's scripts have no option for it." in exported.left_out
    assert "concepts.0.token = sks: kohya's scripts have no option for it." in exported.left_out
    assert any("no rex" in note for note in exported.notes)
    assert "# ema.use = on" in exported.files["config.toml"]


def test_prompts_get_a_file_with_their_size_steps_and_seed() -> None:
    run = replace(
        defaults().run,
        {"previews.prompts": ["a cat --s 50"], "previews.every": "1 epochs", "pictures.resolution": "768"},
    )
    exported = export_kohya(run)
    assert values_of(exported)["sample_prompts"] == "config-prompts.txt"
    assert exported.files["config-prompts.txt"] == "a cat --s 50 --w 768 --h 768 --d 420420 --l 7\n"


def test_arguments_that_kohya_could_not_split_are_left_out_and_told() -> None:
    given = {"eps": 1e-6, "": True, "a=b": 1, "two words": 2, "way": "x=y"}
    exported = export_kohya(replace(defaults().run, {"optimizer.arguments": given}))
    assert values_of(exported)["optimizer_args"] == ["weight_decay=0.01", "eps=1e-06"]
    assert len([note for note in exported.notes if "cannot be written as name=value" in note]) == 4
    check(exported)


# Runs are large: what fails is clear without making it smaller, which takes minutes.
@settings(deadline=None, max_examples=30, phases=(Phase.generate,))
@given(sourced_runs())
def test_any_run_is_exported_in_kohyas_types_or_refused_in_a_sentence(sourced: Sourced) -> None:
    try:
        exported = export_kohya(sourced.run)
    except UserError as error:
        assert error.code == "not-exportable"
    else:
        check(exported)
