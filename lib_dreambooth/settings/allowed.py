"""What a setting may be, in words."""

from __future__ import annotations

from lib_dreambooth.base.durations import TEXT_OF_UNIT, Duration, number_text
from lib_dreambooth.settings.convert import number_shown, quoted
from lib_dreambooth.settings.fields import Field
from lib_dreambooth.settings.options import Option

EXAMPLES = {"steps": 500, "epochs": 2, "percent": 10, "minutes": 5}


def allowed(field: Field) -> str:
    """What the setting may be, as a phrase: "0 to 10", "true or false", "one of ..."."""
    option = field.option
    if field.kind == "switch":
        return "true or false"
    if field.kind == "duration":
        return durations(option)
    if field.kind == "size":
        return f"auto, one side as in 512, or both as in 512x768; each {bounds(option, 'px')}"
    if field.kind == "overrides":
        return 'settings of pictures and captions by their full name, as in "captions.shuffle" = true'
    if field.kind == "text":
        return text(option)
    return f"{PLURALS.get(field.kind, '')}{numbers(field)}"


PLURALS = {
    "texts": "a list of texts",
    "wholes": "a list of whole numbers, each ",
    "numbers": "a list of numbers, each ",
    "whole table": "names with whole numbers, each ",
    "number table": "names with numbers, each ",
    "table": "names with numbers, texts, switches or lists of them",
    "whole": "a whole number, ",
    "number": "a number, ",
}


def numbers(field: Field) -> str:
    """The range or the choices of numbers and lists."""
    option = field.option
    if option.choices:
        return f"{', each ' if field.kind == 'texts' else ''}{choices(option)}"
    if field.kind in ("texts", "table"):
        return ""
    return bounds(option, option.unit)


def text(option: Option) -> str:
    """What a text may be."""
    if option.choices:
        more = ", or another name" if option.open_choices else ""
        return f"{choices(option)}{more}"
    if option.picks == "colour":
        return "a colour as #rrggbb, such as #ffffff"
    return {"folder": "a folder"}.get(option.picks, "a file" if option.picks else "any text")


def choices(option: Option) -> str:
    """The values to choose from."""
    return f"one of {', '.join(str(value) for value in option.choices)}"


def bounds(option: Option, unit: str) -> str:
    """The range of a number."""
    ends = [number_shown(end) for end in (option.low, option.high) if end is not None]
    of_unit = f" {unit}" if unit else ""
    if option.above is not None:
        top = f" and at most {number_shown(option.high)}" if option.high is not None else ""
        return f"more than {number_shown(option.above)}{top}{of_unit}"
    if len(ends) == 2:
        return f"{ends[0]} to {ends[1]}{of_unit}"
    if option.low is not None:
        return f"at least {ends[0]}{of_unit}"
    return f"at most {ends[0]}{of_unit}" if ends else f"of any size{of_unit}"


def durations(option: Option) -> str:
    """The units and words of a duration, by example."""
    examples = [f'"{number_text(EXAMPLES[unit])} {TEXT_OF_UNIT[unit]}"' for unit in option.units]
    words = [quoted(str(Duration(0, word))) for word in option.words]
    return f"a number with a unit, such as {', '.join(examples)}{' or ' if words else ''}{' or '.join(words)}"
