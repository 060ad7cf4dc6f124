"""What the network is told at each step: prompts that change, take turns, or stand beside each other."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from lib_dreambooth.models.encode import DEFAULT_STYLE, NO_EMBEDDINGS, encode_prompts
from lib_dreambooth.models.loaded import LoadedModel
from lib_dreambooth.sampling.conditions import Condition, ConditionMaker, Course, Line, plan_of
from lib_dreambooth.sampling.generator import Generator, Request, batches
from lib_dreambooth.sampling.picture_settings import PictureSettings

SMALL = PictureSettings(sampler="euler", steps=4, width=64, height=64, noise_source="CPU", guidance=3.0)
KOHYA = replace(SMALL, text_kind="kohya")


def test_a_plan_reads_comments_tags_and_and(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    quiet = plan_of("a cat # <lora:x:1>\nAND [b:c:2]:0.5", "[d:e:1] # f", SMALL)
    assert quiet.positive == (
        Line((4,), ("a cat",)),
        Line((2, 4), (" b", " c"), 0.5),
    )
    assert quiet.negative == Line((1, 4), ("d \n", "e \n"))
    assert not caplog.records
    assert plan_of("a <lora:x:1>", "", SMALL).positive == (Line((4,), ("a",)),)
    assert "LoRA files are given beside it" in caplog.text


def test_kohya_s_prompts_know_no_grammar() -> None:
    plan = plan_of("a [b:c:2] AND d # e", "# f", KOHYA)
    assert plan.positive == (Line((4,), ("a [b:c:2] AND d # e",)),)
    assert plan.negative == Line((4,), ("# f",))


def test_a_course_counts_each_end_with_what_it_ends() -> None:
    first, second = (Condition(torch.full((1, 1, 1), float(n))) for n in range(2))
    course = Course((2, 4), (first, second))
    assert [course.at(step) for step in range(5)] == [first, first, first, second, second]
    # More calls than steps start again, as in the WebUI.
    assert course.at(5) is first


def said(model: LoadedModel, request: Request, settings: PictureSettings = SMALL) -> list[list[Tensor]]:
    """The states that each network call is given, one for each row of its batch."""
    seen: list[list[Tensor]] = []
    handle = model.unet.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(list((*args, kwargs.get("encoder_hidden_states"))[2])),
        with_kwargs=True,
    )
    list(Generator(model).draw([request], settings))
    handle.remove()
    return seen


def states_of(model: LoadedModel, *texts: str) -> list[Tensor]:
    with torch.no_grad():
        return [encode_prompts(model.encoders, [text]).joined()[0] for text in texts]


def test_the_network_hears_the_text_of_its_step(sd1: LoadedModel) -> None:
    heard = said(sd1, Request("a [cat:dog:1]", "[b|c]"))
    cat, dog, b, c = states_of(sd1, "a cat", "a dog", "b", "c")
    expected = [(b, cat), (b, cat), (c, dog), (b, dog)]
    for call, wanted in zip(heard, expected, strict=True):
        assert all(torch.allclose(x, y, atol=1e-5) for x, y in zip(call, wanted, strict=True))


def test_shorter_parts_repeat_their_last_state(sd1: LoadedModel) -> None:
    long = "a dog " * 60
    [call, *_] = said(sd1, Request(f"a cat AND {long}", long))
    [cat, dogs, negative] = states_of(sd1, "a cat", " " + long, long)
    assert len(dogs) == 2 * 77
    assert torch.allclose(call[0], negative, atol=1e-5) and torch.allclose(call[2], dogs, atol=1e-5)
    assert torch.allclose(call[1], torch.cat([cat, cat[-1:].expand(77, -1)]), atol=1e-5)


def test_prompts_of_other_lengths_are_asked_apart(sd1: LoadedModel) -> None:
    heard = said(sd1, Request("a cat", "a dog " * 60))
    assert [len(call) for call in heard] == [1] * 8
    assert [len(call[0]) for call in heard[:2]] == [2 * 77, 77]


def drawn(model: LoadedModel, prompt: str, negative: str = "", **changes: object) -> np.ndarray:
    settings = replace(SMALL, **changes)  # type: ignore[arg-type]
    [picture] = Generator(model).draw([Request(prompt, negative)], settings)
    return np.asarray(picture).astype(int)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a cat", "a cat AND a cat :0"),
        ("a cat", "a cat:0.25 AND a cat:0.75"),
        ("a cat", "a [cat:dog:1.0]"),
        ("a cat", "a [dog:cat:0]"),
        ("a cat", "a <lora:nothing:1>cat"),
    ],
)
def test_different_words_for_the_same(sd1: LoadedModel, one: str, other: str) -> None:
    assert np.abs(drawn(sd1, one) - drawn(sd1, other)).max() <= 1


def test_and_adds_what_each_prompt_changes(sd1: LoadedModel) -> None:
    plain, both = drawn(sd1, "a cat"), drawn(sd1, "a cat AND a dog")
    assert np.abs(plain - both).max() > 3
    assert np.abs(drawn(sd1, "a dog AND a cat") - both).max() <= 1
    # What speaks for a prompt as much as against it leaves the negative alone.
    nothing = drawn(sd1, "a cat AND a cat:-1", "a dog")
    assert np.abs(nothing - drawn(sd1, "a dog", guidance=1.0)).max() <= 1


def test_one_mean_for_all_texts_of_a_prompt(sd1: LoadedModel) -> None:
    """The WebUI restores the mean over all texts of a prompt, also where only one of them has weights."""
    [plan] = [plan_of("a [(cat:1.5):dog:2]", "", SMALL)]
    maker = ConditionMaker(sd1, SMALL, NO_EMBEDDINGS)
    with torch.no_grad():
        [[course], _] = maker.courses([plan])
        plain = encode_prompts(sd1.encoders, ["a cat", "a dog"], DEFAULT_STYLE).joined()
    weights = torch.ones(2, 77, 1)
    weights[0, 2] = 1.5
    expected = plain * weights * (plain.mean() / (plain * weights).mean())
    assert torch.allclose(course.at(0).states[0], expected[0], atol=1e-5)
    assert torch.allclose(course.at(4).states[0], expected[1], atol=1e-5)
    assert not torch.allclose(expected[1], plain[1], atol=1e-5)


def test_only_an_empty_negative_is_zero_for_sdxl(sdxl: LoadedModel) -> None:
    maker = ConditionMaker(sdxl, SMALL, NO_EMBEDDINGS)
    with torch.no_grad():
        found = [maker.courses([plan_of("", negative, SMALL)]) for negative in ("", "[a:1]", "[a::1]")]
    for index, (positive, negative) in enumerate(found):
        pooled = negative.at(0).pooled
        assert pooled is not None and bool((pooled == 0).all()) == (index == 0)
        assert bool((negative.at(0).states == 0).all()) == (index == 0)
        assert not bool((positive[0].at(0).states == 0).all())


@pytest.mark.slow
def test_pictures_of_changing_prompts_do_not_depend_on_their_batch(sd1: LoadedModel) -> None:
    prompts = ["a [cat:dog:2]", "a [red:(blue:1.4):2] cat", "a cat AND a dog", "a [b|c]", "[d|e]"]
    requests = [Request(prompt, seed=3) for prompt in prompts]
    together = list(Generator(sd1).draw(requests, replace(SMALL, batch_size=5)))
    for picture, request in zip(together, requests, strict=True):
        [alone] = Generator(sd1).draw([request], SMALL)
        assert np.abs(np.asarray(picture).astype(int) - np.asarray(alone)).max() <= 1


def test_neighbours_of_one_shape_make_a_batch() -> None:
    assert list(batches("aaabba", 2)) == [(0, 2), (2, 3), (3, 5), (5, 6)]
    assert list(batches("", 2)) == []
