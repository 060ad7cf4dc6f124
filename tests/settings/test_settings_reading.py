from __future__ import annotations

from typing import Any

import pytest

from lib_dreambooth import settings
from lib_dreambooth.base.durations import UNTIL_STOPPED, percent, steps
from lib_dreambooth.base.errors import SettingsError, UserError
from lib_dreambooth.settings.facts import Facts
from lib_dreambooth.settings.length import plan_epoch
from lib_dreambooth.settings.meaning import (
    captions_of,
    made,
    network_scale,
    pictures_of,
    rate_of,
    trained_parts,
)
from lib_dreambooth.settings.readiness import missing
from lib_dreambooth.settings.schema import Concept, Run
from lib_dreambooth.settings.values import Size


def problems(data: dict[str, Any], facts: Facts | None = None) -> dict[str, UserError]:
    """The problems of tables, by path."""
    return {found.where: found for found in settings.review(data, facts=facts or Facts()).problems}


def test_tables_become_a_run() -> None:
    run = settings.read(
        {
            "concepts": [{"folder": " 'C:\\pics' ", "repeats": 3}, {"folder": "b", "role": "Class pictures"}],
            "pictures": {"resolution": 768},
            "rates": {"learning_rate": 1, "warmup": "10 %"},
            "optimizer": {"name": "adamw8BIT", "arguments": {"betas": [0.9, 0.95]}},
            "length": {"train_for": "1500 steps"},
        }
    ).run
    assert [concept.folder for concept in run.concepts] == ["C:\\pics", "b"]
    assert run.concepts[1].role == "class"
    assert run.pictures.resolution == Size(768, 768)
    assert run.rates.learning_rate == 1.0 and isinstance(run.rates.learning_rate, float)
    assert run.rates.warmup == percent(10)
    assert run.optimizer.name == "AdamW8bit"
    assert run.optimizer.arguments == {"betas": (0.9, 0.95)}
    assert run.length.train_for == steps(1500)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.read(
            {
                "rates": {"learning_rate": "fast", "warmup": 100},
                "network": {"rank": 0, "kind": "lorra"},
                "pictures": {"flip": "yes", "background": "white"},
                "lenght": {"batch_size": 2},
                "model": 5,
                "concepts": [{"repeats": 2.5}, 7],
                "unet_lr": 1e-4,
            }
        )
    found = {problem.where: problem for problem in caught.value.problems}
    assert {path: problem.code for path, problem in found.items()} == {
        "rates.learning_rate": "wrong-type",
        "rates.warmup": "wrong-type",
        "network.rank": "out-of-range",
        "network.kind": "not-a-choice",
        "pictures.flip": "wrong-type",
        "pictures.background": "wrong-type",
        "lenght": "unknown-setting",
        "model": "wrong-type",
        "concepts.0.repeats": "wrong-type",
        "concepts.1": "wrong-type",
        "unet_lr": "unknown-setting",
    }
    assert found["rates.learning_rate"].sentence() == (
        'rates.learning_rate: "fast" is not a number. Allowed: a number, 0 to 10.'
    )
    assert "has no unit" in found["rates.warmup"].what and '"500 steps"' in found["rates.warmup"].todo
    assert found["lenght"].todo == "Did you mean length?"
    assert found["unet_lr"].todo == "Did you mean parts.unet.rate?"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("rates.lr", "rates.learning_rate"),
        ("network_dim", "network.rank"),
        ("network.dim", "network.rank"),
        ("optimizer.optimizer_type", "optimizer.name"),
        ("min_snr_gamma", "loss.min_snr_gamma"),
        ("captions.shufle", "captions.shuffle"),
        ("num_train_epochs", "length.train_for"),
        ("class_prompt", "concepts.0.class_prompt"),
        ("concepts.3.foldr", "concepts.3.folder"),
        ("concepts.*.folder", "concepts.0.folder"),
        ("parts.unet.lr", "rates.learning_rate"),
    ],
)
def test_unknown_names_are_answered_with_the_one_meant(typed: str, meant: str) -> None:
    (problem,) = settings.review_changes({typed: 1}).problems
    assert problem.todo == f"Did you mean {meant}?"


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 10**400, -1, "1e-4", None, [1], {}, True, b"x"]
)
def test_a_number_is_a_number(value: Any) -> None:
    (problem,) = settings.review({"rates": {"learning_rate": value}}).problems
    assert problem.where == "rates.learning_rate"


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "x" * 100_001, 5, None, ["a"]])
def test_a_text_can_be_written_to_a_file(value: Any) -> None:
    (problem,) = settings.review({"metadata": {"title": value}}).problems
    assert problem.where == "metadata.title"


def test_changes_by_path_count_entries_from_zero() -> None:
    run = settings.replace(Run(), {"concepts.0.folder": "a", "concepts[1].folder": "b"})
    assert [concept.folder for concept in run.concepts] == ["a", "b"]
    assert settings.replace(run, {"concepts.01.repeats": 2, "concepts.٠.repeats": 3}).concepts[1].repeats == 2
    assert settings.replace(run, {"concepts": [Concept(folder="c", repeats=4)]}).concepts[0].repeats == 4
    with pytest.raises(SettingsError) as caught:
        settings.replace(run, {"concepts.3.folder": "d"})
    assert caught.value.problems[0].todo == "Count from 0; the next is concepts.2."


def test_typed_texts_are_read_as_people_mean_them() -> None:
    pairs = [
        ("pictures.flip", "yes"),
        ("rates.learning_rate", "5e-5"),
        ("captions.files", ".txt, .cap"),
        ("network.block_ranks", "[4,8,16]"),
        ("optimizer.arguments", "betas=[0.9,0.99]; eps=1e-6; amsgrad=true"),
        ("length.train_for", "until stopped"),
        ("concepts.0.folder", '"my pictures"'),
    ]
    run = settings.review_typed(pairs).sourced.run
    assert run.pictures.flip is True
    assert run.rates.learning_rate == 5e-5
    assert run.captions.files == (".txt", ".cap")
    assert run.network.block_ranks == (4, 8, 16)
    assert run.optimizer.arguments == {"betas": (0.9, 0.99), "eps": 1e-6, "amsgrad": True}
    assert run.length.train_for == UNTIL_STOPPED
    assert run.concepts[0].folder == "my pictures"


def test_where_values_came_from_is_kept() -> None:
    base = settings.update(settings.defaults(), {"rates.learning_rate": 1e-5}, "preset Person")
    run = settings.read({"network": {"rank": 8}}, source="file a.toml", base=base)
    typed = settings.review_typed([("rates.schedule", "cosine")], base=run).accepted()
    assert typed.source("rates.learning_rate") == "preset Person"
    assert typed.source("network.rank") == "file a.toml"
    assert typed.source("rates.schedule") == "command line"
    assert typed.source("network.alpha") == "default"


@pytest.mark.parametrize(
    ("tables", "where"),
    [
        ({"": 1}, ""),
        ({"rates": {"": 1}}, "rates."),
        ({5: 6}, "5"),
        ({"concepts": {"0": {"folder": "a"}}}, "concepts"),
        ({"concepts": [[]]}, "concepts.0"),
        ({"concepts": [{}] * 1001}, "concepts"),
        ({"concepts." + "9" * 5000 + ".folder": 1}, "concepts." + "9" * 5000 + ".folder"),
        ({"parts": {"unet": 5}}, "parts.unet"),
        ({"parts": {"nose": {"train": True}}}, "parts.nose"),
        ({"network": {"layer_ranks": {5: 6}}}, "network.layer_ranks"),
        ({"concepts": [{"override": {5: 6}}]}, "concepts.0.override"),
        ({"optimizer": {"arguments": {"a": {"b": 1}}}}, "optimizer.arguments"),
        ({"optimizer": {"arguments": {"a": [[[1]]]}}}, "optimizer.arguments"),
        (5, ""),
        ([1], ""),
    ],
)
def test_tables_of_no_sense_get_one_sentence(tables: Any, where: str) -> None:
    (problem,) = settings.review(tables).problems
    assert problem.where == where and problem.what and problem.todo


CONTRADICTIONS: list[tuple[dict[str, Any], Facts, str]] = [
    ({"ema": {"use": True, "save": "live", "preview": "live"}}, Facts(), "ema.save"),
    ({"optimizer": {"name": "AdamW8bit"}}, Facts(packages=frozenset()), "optimizer.name"),
    ({"parts": {"unet": {"stop": "20 epochs"}}}, Facts(), "parts.unet.stop"),
    ({"parts": {"unet": {"stop": "61 steps"}}}, Facts(epoch=plan_epoch([39], 4, 2)), "parts.unet.stop"),
    ({"parts": {"unet": {"start": "50 %", "stop": "20 %"}}}, Facts(), "parts.unet.stop"),
    ({"parts": {"unet": {"start": "10 epochs"}}}, Facts(), "parts.unet.start"),
    ({"network": {"rank": 321}, "model": {"family": "sd1"}}, Facts(), "network.rank"),
    ({"network": {"rank": 65}}, Facts(narrowest_layer=64), "network.rank"),
    ({"rates": {"warmup": "200 steps"}, "length": {"train_for": "100 steps"}}, Facts(), "rates.warmup"),
    ({"rates": {"warmup": "51 steps"}}, Facts(epoch=plan_epoch([5], 1)), "rates.warmup"),
    (
        {"rates": {"schedule": "warmup_stable_decay", "warmup": "60 %", "decay": "50 %"}},
        Facts(),
        "rates.decay",
    ),
    ({"rates": {"schedule": "piecewise_constant", "pieces": "1:100,2:50,1"}}, Facts(), "rates.pieces"),
    ({"noise": {"first_timestep": 500, "last_timestep": 500}}, Facts(), "noise.last_timestep"),
    ({"pictures": {"bucket_min": 512, "bucket_max": 256}}, Facts(), "pictures.bucket_max"),
    ({"pictures": {"resolution": 512, "bucket_min": 1024}}, Facts(), "pictures.bucket_min"),
    ({"pictures": {"resolution": 1024, "bucket_max": 512}}, Facts(), "pictures.bucket_max"),
    ({"pictures": {"resolution": 500}}, Facts(), "pictures.resolution"),
    ({"pictures": {"bucket_step": 20}}, Facts(), "pictures.bucket_step"),
    (
        {"pictures": {"crop": "face", "face_zoom_min": 2, "face_zoom_max": 1}},
        Facts(),
        "pictures.face_zoom_max",
    ),
    ({"network": {"block_ranks": [4] * 24}}, Facts(), "network.block_ranks"),
    ({"parts": {"unet": {"block_rates": [1] * 25}}}, Facts(family="sdxl"), "parts.unet.block_rates"),
    (
        {"memory": {"cache_latents": "disk"}, "pictures": {"colour_change": "gentle"}},
        Facts(),
        "memory.cache_latents",
    ),
    (
        {"memory": {"cache_latents": "disk"}, "pictures": {"crop": "random", "crops_per_picture": 0}},
        Facts(),
        "memory.cache_latents",
    ),
    ({"memory": {"cache_text": "memory"}}, Facts(), "memory.cache_text"),
    ({"precision": {"mixed": "no", "weights": "half"}}, Facts(), "precision.weights"),
    ({"precision": {"mixed": "no", "frozen": "fp8"}}, Facts(), "precision.frozen"),
    (
        {"class_pictures": {"relation": "mixed", "draw": True, "per_picture": 0}},
        Facts(),
        "class_pictures.per_picture",
    ),
    ({"saving": {"during": ["state"], "at_end": ["state"]}}, Facts(), "saving.at_end"),
    ({"words": [{"name": "a"}, {"name": "A"}]}, Facts(), "words.1.name"),
    ({"words": [{"name": "two words"}]}, Facts(), "words.0.name"),
    ({"words": [{}]}, Facts(), "words.0.name"),
    ({"parts": {"words": {"train": True, "template": "file"}}}, Facts(), "parts.words.template_file"),
    ({"model": {"family": "sdxl"}}, Facts(family="sd1"), "model.family"),
]


@pytest.mark.parametrize(
    ("data", "facts", "path"), CONTRADICTIONS, ids=lambda part: part if isinstance(part, str) else ""
)
def test_contradictions_are_told_where_they_can_be_mended(
    data: dict[str, Any], facts: Facts, path: str
) -> None:
    found = problems(data, facts)
    assert list(found) == [path]
    assert found[path].code == "contradiction" and found[path].what and found[path].todo


def test_a_fused_backward_pass_refuses_what_it_cannot_do() -> None:
    data = {
        "network": {"kind": "none"},
        "memory": {"fused_backward": "on"},
        "length": {"accumulation": 4},
        "precision": {"mixed": "fp16"},
    }
    assert list(problems(data)) == ["length.accumulation", "optimizer.max_grad_norm", "precision.mixed"]


def test_a_run_without_an_end_has_no_shares_and_no_falling_rates() -> None:
    data = {"length": {"train_for": "until stopped"}, "rates": {"schedule": "cosine", "warmup": "5 %"}}
    assert list(problems(data)) == ["rates.schedule", "rates.warmup", "saving.every", "previews.every"]


def test_a_refused_value_causes_no_second_complaint() -> None:
    found = problems({"noise": {"first_timestep": 999, "last_timestep": "many"}})
    assert list(found) == ["noise.last_timestep"] and found["noise.last_timestep"].code == "wrong-type"


def notice_paths(changes: dict[str, Any], facts: Facts | None = None) -> dict[str, str]:
    found = settings.review_changes(changes, facts=facts or Facts()).notices
    return {notice.where: notice.code for notice in found}


@pytest.mark.parametrize(
    ("changes", "needs", "where"),
    [
        ({"network.kind": "ia3"}, "ia3", "network.kind"),
        ({"network.kind": "oft"}, "oft", "network.kind"),
        ({"network.decompose": True}, "dora", "network.decompose"),
        (
            {"saving.words_as": "bundle", "parts.words.train": True, "words": [{"name": "zwx"}]},
            "bundle",
            "saving.words_as",
        ),
    ],
)
def test_what_this_host_does_not_read_is_said(changes: dict[str, Any], needs: str, where: str) -> None:
    def said(reads: frozenset[str] | None) -> list[str]:
        found = settings.review_changes(changes, facts=Facts(reads=reads)).notices
        return [notice.where for notice in found if notice.code == "host"]

    assert said(frozenset({"ia3", "oft", "dora", "bundle"} - {needs})) == [where]
    assert said(frozenset({needs})) == said(None) == []
    # What is not made is not read.
    whole = {**changes, "network.kind": "none"}
    assert not [
        n for n in settings.review_changes(whole, facts=Facts(reads=frozenset())).notices if n.code == "host"
    ]


def test_settings_without_effect_are_named() -> None:
    (notice,) = settings.review_changes({"rates.power": 2}).notices
    assert notice.sentence() == (
        "rates.power: Polynomial Power = 2 has no effect in this run; "
        "it applies where Learning Rate Scheduler is polynomial."
    )
    assert notice_paths({"rates.power": 2, "rates.schedule": "polynomial"}) == {}
    assert notice_paths({"model.clip_skip": 2}) == {}
    assert notice_paths({"model.clip_skip": 2}, Facts(family="sdxl")) == {"model.clip_skip": "no-effect"}
    # The common rate counts where a trained part has none of its own.
    assert notice_paths({"rates.learning_rate": 1e-5, "parts.unet.rate": 1e-4}) == {
        "rates.learning_rate": "no-effect"
    }
    assert notice_paths({"rates.learning_rate": 1e-5, "parts.text_encoder_1.rate": 0}) == {}
    # A condition inside one section or entry looks at that entry.
    assert notice_paths({"concepts.0.token": "sks"}) == {}
    assert notice_paths({"concepts.0.token": "sks", "concepts.0.role": "class"}) == {
        "concepts.0.token": "no-effect"
    }


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"rates.learning_rate": 1e-3, "network.alpha": 16}, {"rates.learning_rate": "divergence"}),
        ({"rates.learning_rate": 1e-3, "network.alpha": 1, "network.rank": 128}, {}),
        (
            {"rates.learning_rate": 1e-4, "network.alpha": 1, "network.rank": 128},
            {"rates.learning_rate": "rate"},
        ),
        ({"parts.unet.rate": 1e-3, "network.alpha": 0}, {"parts.unet.rate": "divergence"}),
        (
            {"rates.learning_rate": 1e-4, "rates.scale": True, "length.batch_size": 16},
            {"rates.learning_rate": "divergence"},
        ),
        ({"rates.learning_rate": 2e-4, "optimizer.name": "Lion"}, {"rates.learning_rate": "divergence"}),
        ({"rates.learning_rate": 1e-4, "optimizer.name": "Prodigy"}, {"rates.learning_rate": "rate"}),
    ],
)
def test_rates_known_to_go_wrong(changes: dict[str, Any], codes: dict[str, str]) -> None:
    assert notice_paths({"parts.text_encoder_1.train": False, **changes}) == codes


def test_a_network_rate_on_whole_weights_is_known_to_break() -> None:
    found = notice_paths({"network.kind": "none", "parts.text_encoder_1.rate": 1e-6})
    assert found == {"rates.learning_rate": "divergence"}


def test_what_is_missing_before_a_start() -> None:
    assert [found.where for found in missing(Run())] == ["model.base", "concepts"]
    run = settings.replace(
        Run(),
        {
            "model.base": "a.safetensors",
            "concepts.0.folder": "pics",
            "class_pictures.relation": "mixed",
            "parts.unet.train": False,
            "parts.text_encoder_1.train": False,
            "parts.words.train": True,
        },
    )
    assert [found.where for found in missing(run)] == ["words", "concepts.0.class_folder"]
    assert missing(settings.replace(run, {"words.0.name": "neko", "class_pictures.draw": True})) == []


def test_meanings() -> None:
    run = settings.replace(
        Run(),
        {
            "concepts.0.folder": "a",
            "concepts.0.override": {"captions.keep_tokens": 3, "pictures.flip": True},
            "parts.text_encoder_2.train": True,
            "network.alpha": 0,
            "network.rank_stabilised": True,
        },
    )
    assert captions_of(run, run.concepts[0]).keep_tokens == 3
    assert pictures_of(run, run.concepts[0]).flip is True and run.pictures.flip is False
    assert rate_of(run, "unet") == 1e-4 and rate_of(run, "text_encoder_1") == 5e-5
    assert trained_parts(run) == ("unet", "text_encoder_1", "text_encoder_2")
    assert trained_parts(run, "sd1") == ("unet", "text_encoder_1")
    assert made(run) == ("network",)
    assert network_scale(run) == 4.0


def test_an_override_may_only_name_what_can_differ() -> None:
    (problem,) = settings.review_changes({"concepts.0.override": {"rates.learning_rate": 1}}).problems
    assert problem.where == "concepts.0.override" and problem.code == "unknown-setting"
