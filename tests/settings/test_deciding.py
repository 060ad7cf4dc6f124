from __future__ import annotations

from lib_dreambooth import settings
from lib_dreambooth.settings.deciding import decided
from lib_dreambooth.settings.values import Size


def test_what_is_left_open_is_decided_and_said() -> None:
    wish = {"concepts.0.override": {"pictures.resolution": "auto", "captions.keep_tokens": 2}}
    run = decided(settings.update(settings.defaults(), wish, "form"), native_side=512, seed=77)
    assert run.run.pictures.resolution == Size(512, 512)
    assert run.run.draws.seed == 77
    assert run.run.concepts[0].override == {"pictures.resolution": Size(512, 512), "captions.keep_tokens": 2}
    assert run.source("draws.seed") == "decided at the start"


def test_what_was_chosen_stays() -> None:
    wish = {"pictures.resolution": "640x512", "draws.seed": 0}
    chosen = settings.update(settings.defaults(), wish, "form")
    assert decided(chosen, native_side=1024, seed=77) == chosen


def test_words_get_files_of_their_own_where_nobody_said_otherwise() -> None:
    words = {"words": [{"name": "zwx"}], "parts": {"words": {"train": True}}}
    run = decided(settings.read(words), native_side=512, seed=1).run
    assert run.saving.words_as == "pair"
    bundle = settings.read({**words, "saving": {"words_as": "bundle"}})
    assert decided(bundle, native_side=512, seed=1).run.saving.words_as == "bundle"
