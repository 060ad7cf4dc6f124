"""Names and what files say about themselves."""

from typing import Annotated

from lib_dreambooth.settings.conditions import ADAPTER, WORDS, is_
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section


class Metadata(Section, frozen=True, kw_only=True):
    """Names, and what the files say about themselves."""

    name: Annotated[
        str,
        Option(
            "Custom Model Name",
            "Name of the files, and of <lora:name:1>. Empty: the model folder's name.",
            basic=True,
            kohya=names("output_name"),
            old=names("custom_model_name"),
        ),
    ] = ""
    trigger: Annotated[
        str,
        Option(
            "Activation Text",
            "The words that call the subject; the WebUI puts them into the prompt. Empty: the instance "
            "tokens.",
            kohya=names("metadata_trigger_phrase"),
        ),
    ] = ""
    weight: Annotated[
        float,
        Option(
            "Preferred Weight",
            "The strength the WebUI suggests. 0: none.",
            low=0,
            high=10,
            when=ADAPTER,
        ),
    ] = 0.0
    negative_text: Annotated[
        str,
        Option(
            "Negative Text",
            "Words the WebUI adds to the negative prompt together with the file. Empty: none.",
            when=ADAPTER,
        ),
    ] = ""
    content: Annotated[
        str,
        Option(
            "Metadata in Files",
            "Full: settings, tag counts, hashes; names and hashes only, never a path. Needed only: what "
            "programs need to read the file. None: only what cannot be left out.",
            choices={"full": "Full", "plain": "Needed only", "none": "None"},
            kohya=names("no_metadata"),
        ),
    ] = "full"
    title: Annotated[
        str,
        Option(
            "Title",
            "A title for people, which may have spaces. Empty: the name.",
            when=~is_("metadata.content", "none"),
            kohya=names("metadata_title"),
        ),
    ] = ""
    author: Annotated[
        str,
        Option(
            "Author",
            "Who made it; programs that show the file's metadata name it.",
            when=~is_("metadata.content", "none"),
            kohya=names("metadata_author"),
        ),
    ] = ""
    description: Annotated[
        str,
        Option(
            "Description",
            "What it is and how to prompt it, in a few sentences.",
            lines=3,
            when=~is_("metadata.content", "none"),
            kohya=names("metadata_description"),
        ),
    ] = ""
    license: Annotated[
        str,
        Option(
            "License",
            "Under which conditions it may be used, such as CC BY 4.0.",
            when=~is_("metadata.content", "none"),
            kohya=names("metadata_license"),
        ),
    ] = ""
    tags: Annotated[
        tuple[str, ...],
        Option(
            "Tags",
            "Words it is found under, such as anime, character.",
            when=~is_("metadata.content", "none"),
            kohya=names("metadata_tags"),
        ),
    ] = ()
    usage: Annotated[
        str,
        Option(
            "Usage Hint",
            "How to use it: strength, words that help, models it suits.",
            when=~is_("metadata.content", "none"),
            kohya=names("metadata_usage_hint"),
        ),
    ] = ""
    comment: Annotated[
        str,
        Option(
            "Training Comment",
            "A note of your own, kept in the file.",
            when=~is_("metadata.content", "none"),
            kohya=names("training_comment"),
        ),
    ] = ""
    thumbnail: Annotated[
        bool,
        Option(
            "Thumbnail in Files",
            "Put a small copy of the preview into the file. The picture beside the file is written in any "
            "case.",
            when=~is_("metadata.content", "none"),
            kohya=names("metadata_thumbnail"),
        ),
    ] = False
    negative_embedding: Annotated[
        bool,
        Option(
            "Negative Embedding",
            "Say that the word belongs into the negative prompt.",
            when=WORDS & ~is_("metadata.content", "none"),
            kohya=names("metadata_is_negative_embedding"),
        ),
    ] = False
