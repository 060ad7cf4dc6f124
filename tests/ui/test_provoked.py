"""Every sentence that can stand beside a setting is provoked once, over the routes that the page asks."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lib_dreambooth.assets import MINI_CHECKPOINT
from lib_dreambooth.assets.shapes import subject
from lib_dreambooth.settings.facts import Facts
from lib_dreambooth.settings.fields import field_at
from lib_dreambooth.settings.reading import Review, review, review_changes
from tests.api.made_site import Made
from tests.settings.test_settings_reading import CONTRADICTIONS
from tests.ui import spoken

pytestmark = pytest.mark.slow

PACKAGE = Path(__file__).resolve().parents[2] / "lib_dreambooth"
NOTHING_READ = Facts(reads=frozenset())
ENDLESS = {"train_for": "until stopped"}
WORD = [{"name": "zwx"}]
# Values by section that are told of while one types.
TYPED: list[dict[str, Any]] = [
    {"network": {"kind": "none"}, "memory": {"fused_backward": "on"}, "length": {"accumulation": 4}},
    {"network": {"kind": "none"}, "memory": {"fused_backward": "on"}, "precision": {"mixed": "fp16"}},
    {"length": ENDLESS, "rates": {"schedule": "cosine", "warmup": "5 %"}},
    {"length": ENDLESS, "network": {"kind": "none"}, "concepts": [{"target": "base"}]},
    {"rates": {"power": 2}},
    {"optimizer": {"name": "Prodigy"}},
    {"rates": {"learning_rate": 1e-3}, "network": {"alpha": 16}},
    {"rates": {"learning_rate": 1e-6}},
    {"network": {"kind": "none"}, "rates": {"learning_rate": 1e-4}},
    {"loss": {"min_snr_gamma": 5, "debiased": True}},
    {"noise": {"offset": 0.1, "pyramid_levels": 6}},
    {"concepts": [{"folder": "a"}, {"folder": "a"}]},
    {"saving": {"every": "20 epochs"}},
    {"memory": {"cuda_graphs": "on"}},
    {"pictures": {"flip": "perhaps", "background": "white", "resolution": "wide"}},
    {"pictures": {"resolution": [512]}},
    {"network": {"rank": "many", "kind": "lorra", "block_ranks": 4}},
    {"network": {"rank": 10**30, "block_ranks": [4] * 10_001}},
    {"network": {"rank": 0, "layer_ranks": 4}},
    {"captions": {"max_tokens": 76}},
    {"rates": {"learning_rate": "much", "warmup": "12 moons", "schedule": 7}},
    {"rates": {"warmup": "never"}, "length": {"pause_every": "5 %"}},
    {"rates": {"warmup": "150 %"}, "length": {"train_for": [1]}},
    {"rates": {"warmup": 100}},
    {"metadata": {"title": "x" * 100_001, "author": "a\0b"}},
    {"optimizer": {"arguments": {"a": {"b": {"c": 1}}}}},
    {"optimizer": {"arguments": {f"a{number}": 1 for number in range(10_001)}}},
    {"concepts": [{"override": {"rates.power": 2}}]},
    {"rates": 7, "concepts": 7, "lenght": {}, "zzzz": 1},
    {"concepts": [7]},
]
# What no JSON of a page can hold, and paths of single changes.
NOT_JSON: list[dict[str, Any]] = [
    {"rates": {"learning_rate": float("inf")}},
    {"rates": {"learning_rate": 10**400}},
]
CHANGES: list[tuple[dict[str, Any], Facts]] = [
    ({"concepts.3.folder": "a"}, Facts()),
    ({"network.kind": "ia3"}, NOTHING_READ),
    ({"network.decompose": True}, NOTHING_READ),
    ({"saving.words_as": "bundle", "parts.words.train": True, "words": WORD}, NOTHING_READ),
]
# Values by path that are told of when Train is pressed, with pictures and a base where they are not named.
STARTED: list[dict[str, Any]] = [
    {"model.base": ""},
    {"concepts.0.folder": ""},
    {"concepts": []},
    {"concepts.0.role": "validation"},
    {"parts.unet.train": False, "parts.text_encoder_1.train": False, "parts.text_encoder_2.train": False},
    {"parts.words.train": True},
    {"class_pictures.relation": "mixed"},
    {
        "parts.words.train": True,
        "words": WORD,
        "parts.words.template": "file",
        "parts.words.template_file": "/no/file",
    },
    {"optimizer.name": "odd words"},
    {"optimizer.name": "LBFGS"},
    {"optimizer.arguments": {"no_such": 1}},
    {"optimizer.arguments": {"lr": 1}},
    {"memory.device": "odd words"},
    {"memory.device": "privateuseone"},
    {"memory.device": "mps"},
    {"memory.device": "cpu:7"},
    {"memory.attention": "xformers"},
    {"precision.weights": "half", "memory.device": "cpu"},
    {"precision.frozen": "fp8", "memory.device": "cpu"},
]
SPEAKERS = ("contradictions", "notices", "readiness", "convert", "draft")
# Why some can never be seen beside a field.
UNSEEN = {
    "{1} is not a table of settings.": "a page always sends a table; files and programs may not",
    "Give sections with settings.": "goes with it",
}

RUNNING = "told by the run, on Progress: it needs the model's layers or numbers of a step"
NO_LIBRARY = "needs a library that is broken, not logged in or not installed on the machine of the tests"
NO_CARD = "needs another machine than the one that tests"
# Outside of the settings: why a sentence is not provoked here.
LATER = {
    "class_pictures.relation: class pictures are off.": "told by the button that draws class pictures",
    "length.accumulation: the state was made by {1} processes with {2} batches each; {3} batches cannot be "
    "shared out among {4}.": "told where a run of several processes goes on; a page starts one",
    "logging.folder: TensorBoard files cannot be written there ({1}).": RUNNING,
    "logging.tensorboard: TensorBoard files need the package tensorboardX, which is not installed here.": (
        NO_LIBRARY
    ),
    "logging.wandb: Weights & Biases cannot be used ({1}).": NO_LIBRARY,
    "logging.wandb: nobody is logged in to Weights & Biases here.": NO_LIBRARY,
    "logging.wandb: sending curves needs the package wandb, which is not installed here.": NO_LIBRARY,
    "memory.attention: xFormers does not work here: {1}": NO_CARD,
    "memory.fused_backward: a gradient was no number any more at step {1}, and weights had moved by then.": (
        RUNNING
    ),
    "metadata.name: the settings do not say which model is trained.": "told on the command line alone",
    "model.base: no checkpoint is chosen yet.": "told by the Performance Wizard",
    "network.kind: this kind of network needs the package lycoris-lora, which cannot be used: {1}.": (
        NO_LIBRARY
    ),
    'optimizer.arguments: "{1}" is not a number type.': RUNNING,
    "optimizer.arguments: {1} does not take these arguments: {2}.": RUNNING,
    "optimizer.name: {1} cannot be used: {2}.": NO_LIBRARY,
    "parts.unet.blocks: no block of the UNet is called `{1}`.": RUNNING,
    "rates.learning_rate: the {1} is no number any more at step {2}; nothing was changed by this step.": (
        RUNNING
    ),
}


def asked(site: Made) -> Iterator[Mapping[str, Any]]:
    """What the page is told for what was typed, with the field that it stands beside."""
    for data in [*TYPED, *(data for data, facts, _ in CONTRADICTIONS if facts == Facts())]:
        yield from told(site.post("/settings/validate", {"settings": data}))


def started(site: Made, pictures: Path) -> Iterator[Mapping[str, Any]]:
    """What Train is refused with."""
    base = {"model.base": str(MINI_CHECKPOINT), "concepts": [{"folder": str(pictures)}]}
    for changes in STARTED:
        body = {"model": "odd", "action": "train", "starts": False, "settings": {}, "changes": base | changes}
        answer = site.client.post("/dreambooth/v1/queue", json=body)
        assert answer.status_code >= 400, changes
        error = answer.json()["error"]
        yield from error.get("problems") or [error]


def reviewed(found: Review) -> Iterator[Mapping[str, Any]]:
    yield from [one.to_json() for one in (*found.problems, *found.notices)]


def told(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*answer["problems"], *answer["notices"]]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[Mapping[str, Any]]:
    root = tmp_path_factory.mktemp("site")
    site = Made(root / "models")
    subject.write_subject(root / "pictures")
    found = [*asked(site), *started(site, root / "pictures")]
    for data in NOT_JSON:
        found += reviewed(review(data))
    for changes, facts in CHANGES:
        found += reviewed(review_changes(changes, facts=facts))
    for data, facts, _ in CONTRADICTIONS:
        found += reviewed(review(data, facts=facts))
    site.worker.close(10)
    return found


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_every_sentence_beside_a_field_is_provoked(speaker: str, said: list[Mapping[str, Any]]) -> None:
    texts = {text for one in said for text in (one.get("what"), one.get("todo")) if text}
    left = [
        template
        for template in spoken.sentences(PACKAGE / "settings" / f"{speaker}.py")
        if template not in UNSEEN and not any(spoken.is_said_as(text, template) for text in texts)
    ]
    assert left == []


def test_each_of_them_names_its_field(said: list[Mapping[str, Any]]) -> None:
    lost = {one["where"] for one in said if not is_place(str(one["where"]).split(" ")[0])}
    # Files name themselves, lists their section; no page sends the others.
    assert lost <= {"/no/file", "concepts", "words", "rates", "lenght", "zzzz", "concepts.0", "concepts.3"}


def is_place(where: str) -> bool:
    return field_at(where) is not None


def test_what_the_trainer_says_of_a_setting_is_provoked_or_named(said: list[Mapping[str, Any]]) -> None:
    texts = {one["what"] for one in said}
    found = {
        f"{where}: {what}"
        for where, what in places()
        if not any(spoken.is_said_as(text, what) for text in texts)
    }
    assert found == set(LATER)


def places() -> Iterator[tuple[str, str]]:
    """Every refusal outside of the settings that names one of them by its path, and its sentence."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "settings" in path.relative_to(PACKAGE).parts[:-1]:
            continue
        yield from refusals(ast.parse(path.read_text(encoding="utf-8")))


def refusals(tree: ast.Module) -> Iterator[tuple[str, str]]:
    known = {
        name.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for name in node.targets
        if isinstance(name, ast.Name)
    }
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not call.args:
            continue
        first = call.args[0]
        for where in (one.value for one in call.keywords if one.arg == "where"):
            named = known.get(where.id) if isinstance(where, ast.Name) else getattr(where, "value", None)
            if (
                isinstance(named, str)
                and is_place(named)
                and isinstance(first, (ast.Constant, ast.JoinedStr))
            ):
                yield named, spoken.template(first)
