"""The rule table of docs/captions.md, row by row. Instance token "sks", class token "dog" unless said."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_dreambooth.data.captions.prompts import Naming, class_prompt, instance_prompt
from lib_dreambooth.data.captions.words import find_all, has_word

SKS_DOG = Naming("sks", "dog")
TABLE = [
    ("sitting on a chair", "sks dog, sitting on a chair", "dog, sitting on a chair"),
    ("photo of a dog on grass", "photo of a sks dog on grass", "photo of a dog on grass"),
    ("photo of sks on grass", "photo of sks dog on grass", "photo of dog on grass"),
    ("photo of sks dog on grass", "photo of sks dog on grass", "photo of dog on grass"),
    ("a hotdog stand", "sks dog, a hotdog stand", "dog, a hotdog stand"),
    ("sks, a dog on grass", "sks, a dog on grass", "a dog on grass"),
    ("sks, dog, grass", "sks, dog, grass", "dog, grass"),
    ("sks, grass", "sks dog, grass", "dog, grass"),
    ("SKS Dog, grass", "SKS Dog, grass", "dog, grass"),
    ("the dog's ball", "the sks dog's ball", "the dog's ball"),
    ("a dog sks runs", "a dog sks runs", "a dog runs"),
    ("two dogs", "sks dog, two dogs", "dog, two dogs"),
    ("", "sks dog", "dog"),
]


@pytest.mark.parametrize(("caption", "instance", "class_"), TABLE)
def test_both_tokens(caption: str, instance: str, class_: str) -> None:
    assert instance_prompt(caption, "[filewords]", SKS_DOG) == instance
    assert class_prompt(caption, "[filewords]", SKS_DOG) == class_
    assert instance_prompt(caption, "", SKS_DOG) == instance


@pytest.mark.parametrize(
    ("caption", "naming", "instance", "class_"),
    [
        ("sitting", Naming("sks", ""), "sks, sitting", "sitting"),
        ("photo of sks here", Naming("sks", ""), "photo of sks here", "photo of here"),
        ("sks, grass", Naming("sks", ""), "sks, grass", "grass"),
        ("sitting", Naming("", "dog"), "sitting", "dog, sitting"),
        ("a dog", Naming("", "dog"), "a dog", "a dog"),
        ("sitting", Naming("", ""), "sitting", "sitting"),
        ("standing", Naming("nanU Unan", "Unan"), "nanU Unan, standing", "Unan, standing"),
        ("nanU Unan, standing", Naming("nanU Unan", "Unan"), "nanU Unan, standing", "Unan, standing"),
        ("Unan, standing", Naming("nanU Unan", "Unan"), "nanU Unan, standing", "Unan, standing"),
        ("x (y) c++", Naming("c++", "(y)"), "x (y) c++", "x (y)"),
        ("\\1 \\g<0>", Naming("a\\1", "b\\g<0>"), "a\\1 b\\g<0>, \\1 \\g<0>", "b\\g<0>, \\1 \\g<0>"),
        ("白い猫が座る", Naming("tama", "猫"), "白い tama 猫が座る", "白い猫が座る"),
        ("猫耳の少女", Naming("tama", "猫"), "tama 猫, 猫耳の少女", "猫, 猫耳の少女"),
    ],
)
def test_one_token_longer_tokens_and_signs(caption: str, naming: Naming, instance: str, class_: str) -> None:
    assert instance_prompt(caption, "[filewords]", naming) == instance
    assert class_prompt(caption, "[filewords]", naming) == class_


@pytest.mark.parametrize(
    ("template", "caption", "instance", "class_"),
    [
        ("photo of sks dog", "sitting", "photo of sks dog", "photo of sks dog"),
        ("photo of sks", "sitting", "photo of sks", "photo of sks"),
        ("a portrait, [filewords]", "sitting", "a portrait, sks dog, sitting", "a portrait, dog, sitting"),
        ("photo of sks dog, [filewords]", "sitting", "photo of sks dog, sitting", "photo of dog, sitting"),
        ("photo of sks dog, [filewords]", "", "photo of sks dog", "photo of dog"),
        ("photo of a dog, [filewords]", "sitting", "photo of a sks dog, sitting", "photo of a dog, sitting"),
        ("photo of sks, [filewords]", "sitting", "photo of sks dog, sitting", "photo of dog, sitting"),
        ("[FileWords], best", "sks dog", "sks dog, best", "dog, best"),
        ("[filewords], best", r"\g<1>", r"sks dog, \g<1>, best", r"dog, \g<1>, best"),
    ],
)
def test_templates(template: str, caption: str, instance: str, class_: str) -> None:
    assert instance_prompt(caption, template, SKS_DOG) == instance
    assert class_prompt(caption, template, SKS_DOG) == class_


WORD = st.sampled_from(["a", "sks", "dog", "hotdog", "photo of", "grass", "sks dog", "dogs", "x_sks", ","])


@settings(deadline=None)
@given(st.lists(WORD, max_size=8).map(" ".join))
def test_the_subject_is_named_and_no_token_is_ever_doubled(caption: str) -> None:
    prompt = instance_prompt(caption, "[filewords]", SKS_DOG)
    assert has_word(prompt, "sks") and has_word(prompt, "dog")
    assert len(find_all(prompt, "sks sks")) <= len(find_all(caption, "sks sks"))
    assert instance_prompt(prompt, "[filewords]", SKS_DOG) == prompt
    prior = class_prompt(caption, "[filewords]", SKS_DOG)
    assert has_word(prior, "dog") and not has_word(prior, "sks") and not has_word(prior, "dog dog")
