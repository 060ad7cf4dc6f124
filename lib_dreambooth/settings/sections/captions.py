"""How captions become what is trained."""

from typing import Annotated

from lib_dreambooth.base.durations import Duration, steps
from lib_dreambooth.settings.conditions import is_, is_set
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section


class Captions(Section, frozen=True, kw_only=True):
    """How captions are read, changed and cut into tokens, in the order shown."""

    files: Annotated[
        tuple[str, ...],
        Option(
            "Caption Extension",
            "Endings of caption files beside the pictures; the first that exists is used.",
            per_concept=True,
            kohya=names("caption_extension caption_extention"),
        ),
    ] = (".txt", ".caption", ".json")
    file_name: Annotated[
        bool,
        Option(
            "Caption from File Name",
            "Where there is no caption file, use the file's name without numbers and dashes in front, as "
            "the WebUI does. Off: the instance token and class token alone.",
            per_concept=True,
        ),
    ] = False
    lines: Annotated[
        str,
        Option(
            "Captions of Several Lines",
            "First: only the first line counts. Draw: another line each time. Join: all lines as one.",
            choices={"first": "First line", "draw": "Draw one each time", "join": "Join"},
            per_concept=True,
        ),
    ] = "first"
    remove: Annotated[
        tuple[str, ...],
        Option(
            "Tags to Remove",
            "Tags left out of every caption. What is not named is learned as part of the subject.",
            lines=2,
            per_concept=True,
        ),
    ] = ()
    add: Annotated[
        tuple[str, ...],
        Option(
            "Tags to Add",
            "Tags put behind every caption that lacks them, the same for all pictures of the concept. For "
            "the front there is the prefix.",
            lines=2,
            per_concept=True,
        ),
    ] = ()
    prefix: Annotated[
        str,
        Option(
            "Caption Prefix",
            "Put in front of every caption, with a space between; a comma has to be written, as in "
            '"riho,". Use it where captions lack the trigger.',
            per_concept=True,
            kohya=names("caption_prefix"),
        ),
    ] = ""
    suffix: Annotated[
        str,
        Option(
            "Caption Suffix",
            "Put behind every caption, with a space between. For a style, for example.",
            per_concept=True,
            kohya=names("caption_suffix"),
        ),
    ] = ""
    dropout: Annotated[
        float,
        Option(
            "Caption Dropout Rate",
            "Share of visits with an empty caption. A little keeps guidance working in long runs of whole "
            "models and in styles; for a character it loosens the trigger.",
            low=0,
            high=1,
            per_concept=True,
            kohya=names("caption_dropout_rate"),
        ),
    ] = 0.0
    dropout_every: Annotated[
        int,
        Option(
            "Empty Captions Every N Epochs",
            "Every Nth epoch is trained without captions. 0: never.",
            unit="epochs",
            low=0,
            high=100000,
            per_concept=True,
            kohya=names("caption_dropout_every_n_epochs"),
        ),
    ] = 0
    wildcards: Annotated[
        bool,
        Option(
            "Wildcards",
            "Draw one of {a|b|c} in a caption at each visit. Leave it off where braces are part of tags.",
            per_concept=True,
            kohya=names("enable_wildcard"),
        ),
    ] = False
    shuffle_names: Annotated[
        bool,
        Option(
            "Shuffle Names",
            'Where a caption begins with several names such as "A / B", draw their order each time, so that '
            "either order calls them.",
            per_concept=True,
        ),
    ] = False
    names_separator: Annotated[
        str,
        Option(
            "Name Separator",
            "The sign between such names: / in A / B.",
            when=is_set("captions.shuffle_names"),
            per_concept=True,
        ),
    ] = "/"
    separator: Annotated[
        str,
        Option(
            "Tag Separator",
            "The sign between tags; a comma nearly everywhere.",
            per_concept=True,
            kohya=names("caption_separator"),
        ),
    ] = ","
    keep_tokens: Annotated[
        int,
        Option(
            "Keep Tokens",
            "How many tags at the front stay there when the rest is shuffled or dropped: 1 keeps the "
            "trigger word.",
            unit="tags",
            low=0,
            high=1000,
            basic=True,
            per_concept=True,
            kohya=names("keep_tokens"),
        ),
    ] = 1
    keep_separator: Annotated[
        str,
        Option(
            "Keep Tokens Separator",
            "A mark such as ||| in captions: what stands before it stays in front. Where a caption has it, "
            "it counts instead of Keep Tokens; what stands behind a second one stays at the end.",
            per_concept=True,
            kohya=names("keep_tokens_separator"),
        ),
    ] = ""
    secondary_separator: Annotated[
        str,
        Option(
            "Secondary Separator",
            "Tags joined by this sign (such as ;;;) move and drop together; at the end it becomes the "
            "tag separator. Empty: off.",
            per_concept=True,
            kohya=names("secondary_separator"),
        ),
    ] = ""
    token_warmup: Annotated[
        Duration,
        Option(
            "Token Warm-up",
            "Start with few tags per caption and reach all of them after this long. 0: all from the start.",
            units=("steps", "epochs", "percent"),
            per_concept=True,
            kohya=names("token_warmup_step"),
        ),
    ] = steps(0)
    token_warmup_min: Annotated[
        int,
        Option(
            "Token Warm-up: First Tags",
            "How many tags the warm-up starts with.",
            unit="tags",
            low=0,
            high=1000,
            when=is_set("captions.token_warmup"),
            per_concept=True,
            kohya=names("token_warmup_min"),
        ),
    ] = 1
    shuffle: Annotated[
        bool,
        Option(
            "Shuffle Tags",
            "Mix the order of tags each time, so that none counts more for its place. For captions of tags, "
            "not for sentences.",
            basic=True,
            per_concept=True,
            kohya=names("shuffle_caption"),
            old=names("shuffle_tags"),
        ),
    ] = False
    tag_dropout: Annotated[
        float,
        Option(
            "Tag Dropout Rate",
            "Chance of each tag, except kept ones, to be left out. 0.1 makes the trigger work with short "
            "prompts.",
            low=0,
            high=1,
            per_concept=True,
            kohya=names("caption_tag_dropout_rate"),
        ),
    ] = 0.0
    rejoin: Annotated[
        str,
        Option(
            "Tags Rejoined with",
            "After shuffling or dropping. Kohya's scripts always use a comma and a space, whatever the "
            "separator.",
            choices={"separator": "The tag separator", "comma": "Comma (kohya)"},
            when=~is_("captions.separator", ","),
        ),
    ] = "separator"
    weights: Annotated[
        bool,
        Option(
            "Weighted Captions",
            "Read (word:1.3) in captions as the WebUI does. Off: brackets are ordinary characters.",
            kohya=names("weighted_captions"),
        ),
    ] = False
    max_tokens: Annotated[
        int,
        Option(
            "Max Token Length",
            "Longer captions are cut here; the dataset page shows where. 225 is enough for tags, 75 for "
            "short sentences; more costs memory and time only where captions are that long.",
            unit="tokens",
            choices={75: "75", 150: "150", 225: "225", 300: "300"},
            kohya=names("max_token_length"),
            old=names("max_token_length"),
        ),
    ] = 225
    long_prompts: Annotated[
        str,
        Option(
            "Captions over 75 Tokens",
            "As the WebUI: every 75 tokens get a start and end of their own, the same as when you generate. "
            "As kohya: stitched together without them; for repeating an old run.",
            choices={"webui": "As the WebUI", "kohya": "As kohya"},
            when=~is_("captions.max_tokens", 75),
        ),
    ] = "webui"
    pad: Annotated[
        bool,
        Option(
            "Pad Tokens",
            "Fill captions up to 75 tokens, as the WebUI does when it generates. Off only to repeat an old "
            "run.",
            kohya=names("no_token_padding"),
            old=names("pad_tokens"),
        ),
    ] = True
