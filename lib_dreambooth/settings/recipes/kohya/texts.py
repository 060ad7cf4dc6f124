"""kohya's options for captions, tokens and new words."""

from __future__ import annotations

from lib_dreambooth.settings.recipes.rules import Table, file_at, flag, to
from lib_dreambooth.settings.recipes.sheet import Entry, Sheet
from lib_dreambooth.settings.recipes.turn import extension, loose_text, number, switch, text, whole

DOT = "the dot was left out."


def clip_skip(sheet: Sheet, entry: Entry) -> None:
    """clip_skip; 0 and less are what leaving it out is."""
    sheet.honour(entry, {"model.clip_skip": max(1, whole(entry.value))})


def caption_files(sheet: Sheet, entry: Entry) -> None:
    """caption_extension, and its misspelling that was the first to exist."""
    if entry.name == "caption_extention" and sheet.given("caption_extension"):
        sheet.unused(entry, "caption_extension counts.")
        return
    ending = extension(entry.value)
    sets = {"captions.files": [ending]}
    if ending == text(entry.value).strip():
        sheet.honour(entry, sets)
    else:
        sheet.differ(entry, sets, DOT)


def wildcards(sheet: Sheet, entry: Entry) -> None:
    """enable_wildcard: {a|b}, and one of several lines."""
    if switch(entry.value):
        sheet.honour(entry, {"captions.wildcards": True, "captions.lines": "draw"})
    else:
        sheet.honour(entry)


def token_warm_up(sheet: Sheet, entry: Entry) -> None:
    """token_warmup_step: below 1 a share of the run, else steps."""
    sheet.honour(entry, {"captions.token_warmup": warm_up_text(number(entry.value))})


def warm_up_text(value: float) -> str:
    """The length of a token warm-up."""
    if value <= 0:
        return "0 steps"
    return f"{value * 100:.10g} %" if value < 1 else f"{value:.10g} steps"


def object_template(sheet: Sheet, entry: Entry) -> None:
    """use_object_template."""
    if switch(entry.value):
        sheet.honour(entry, {"parts.words.template": "object"})
    else:
        sheet.honour(entry)


def style_template(sheet: Sheet, entry: Entry) -> None:
    """use_style_template, which counts less than the other."""
    if not switch(entry.value):
        sheet.honour(entry)
    elif sheet.is_on("use_object_template"):
        sheet.unused(entry, "use_object_template counts.")
    else:
        sheet.honour(entry, {"parts.words.template": "style"})


TEXTS: Table = {
    "max_token_length": to("captions.max_tokens", whole),
    "clip_skip": clip_skip,
    "weighted_captions": flag("captions.weights"),
    "token_string": to("words.0.name", text),
    "init_word": to("words.0.start_as", text),
    "num_vectors_per_token": to("words.0.vectors", whole),
    "weights": file_at("words.0.start_from", "embedding"),
    "use_object_template": object_template,
    "use_style_template": style_template,
    "caption_extension": caption_files,
    "caption_extention": caption_files,
    "caption_separator": to("captions.separator", text),
    "secondary_separator": to("captions.secondary_separator", text),
    "shuffle_caption": flag("captions.shuffle"),
    "keep_tokens": to("captions.keep_tokens", whole),
    "keep_tokens_separator": to("captions.keep_separator", text),
    "enable_wildcard": wildcards,
    "caption_prefix": to("captions.prefix", loose_text),
    "caption_suffix": to("captions.suffix", loose_text),
    "caption_dropout_rate": to("captions.dropout", number),
    "caption_dropout_every_n_epochs": to("captions.dropout_every", whole),
    "caption_tag_dropout_rate": to("captions.tag_dropout", number),
    "token_warmup_min": to("captions.token_warmup_min", whole),
    "token_warmup_step": token_warm_up,
}
