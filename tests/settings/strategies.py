"""Runs and settings files by chance, for the tests that hold for all of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from lib_dreambooth import settings
from lib_dreambooth.settings.convert import COLOUR, LARGEST_WHOLE
from lib_dreambooth.settings.fields import Field, all_fields
from lib_dreambooth.settings.options import Option

TEXTS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=20)
NAMES = TEXTS.filter(lambda text: text.strip() == text)
WHOLES = st.integers(-LARGEST_WHOLE, LARGEST_WHOLE)


def wholes(option: Option) -> st.SearchStrategy[int]:
    if option.choices:
        return st.sampled_from(list(option.choices))
    low = -LARGEST_WHOLE if option.low is None else int(option.low)
    return st.integers(low, LARGEST_WHOLE if option.high is None else int(option.high))


def numbers(option: Option) -> st.SearchStrategy[float]:
    low = option.low if option.above is None else option.above
    return st.floats(
        low, option.high, allow_nan=False, allow_infinity=False, exclude_min=option.above is not None
    )


def durations(option: Option) -> st.SearchStrategy[str]:
    amounts = st.one_of(st.integers(1, 100), st.floats(0.001, 100)).map(str)
    told = st.builds("{} {}".format, amounts, st.sampled_from(option.units)).map(
        lambda text: text.replace("percent", "%")
    )
    return st.one_of(told, st.sampled_from(option.words)) if option.words else told


def texts(option: Option) -> st.SearchStrategy[str]:
    if option.choices:
        return st.sampled_from(list(option.choices))
    return st.from_regex(COLOUR, fullmatch=True) if option.picks == "colour" else TEXTS


def sizes(option: Option) -> st.SearchStrategy[Any]:
    side = st.integers(8, 512).map(lambda eighth: eighth * 8)
    return st.one_of(st.just("auto"), side, st.builds("{}x{}".format, side, side))


LOOSE = st.one_of(st.booleans(), WHOLES, st.floats(allow_nan=False, allow_infinity=False), TEXTS)


def overrides(option: Option) -> st.SearchStrategy[dict[str, Any]]:
    own = [field for field in all_fields() if field.option.per_concept]
    return st.lists(st.sampled_from(own), max_size=3, unique_by=lambda field: field.path).flatmap(
        lambda chosen: st.fixed_dictionaries({field.path: values(field) for field in chosen})
    )


def values(field: Field) -> st.SearchStrategy[Any]:
    """What a file may hold for a setting."""
    option = field.option
    return {
        "switch": lambda: st.booleans(),
        "whole": lambda: wholes(option),
        "number": lambda: numbers(option),
        "text": lambda: texts(option),
        "duration": lambda: durations(option),
        "size": lambda: sizes(option),
        "texts": lambda: st.lists(texts(option), max_size=3),
        "wholes": lambda: st.lists(wholes(option), max_size=3),
        "numbers": lambda: st.lists(numbers(option), max_size=3),
        "whole table": lambda: st.dictionaries(TEXTS, wholes(option), max_size=3),
        "number table": lambda: st.dictionaries(TEXTS, numbers(option), max_size=3),
        "table": lambda: st.dictionaries(TEXTS, st.one_of(LOOSE, st.lists(LOOSE, max_size=3)), max_size=3),
        "overrides": lambda: overrides(option),
    }[field.kind]()


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """Some settings by path, each with a value that it may have."""
    found = {}
    listed = {"concepts": draw(st.integers(0, 2)), "words": draw(st.integers(0, 2))}
    for path, count in listed.items():
        for number in range(count):
            own = [field for field in all_fields() if field.group.path == path and field.is_listed]
            for field in draw(st.lists(st.sampled_from(own), min_size=1, max_size=6)):
                found[field.path.replace("*", str(number))] = draw(values(field))
    plain = [field for field in all_fields() if not field.is_listed]
    for field in draw(st.lists(st.sampled_from(plain), max_size=12)):
        found[field.path] = draw(values(field))
    return found


@st.composite
def sourced_runs(draw: st.DrawFn) -> settings.Sourced:
    """A run with some settings changed, some of them by a preset."""
    typed = settings.review_changes(draw(changes()), source="form").sourced
    return settings.review_changes(draw(changes()), source="preset Mine", base=typed).sourced
