"""A new word."""

from typing import Annotated

from lib_dreambooth.settings.conditions import WORDS
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section


class Word(Section, frozen=True, kw_only=True):
    """A new word for the prompt, learned as one or more vectors. A run has any number of them."""

    name: Annotated[
        str,
        Option(
            "Word",
            "How the word is called in prompts and its file is named. Take one that the model and your "
            "embeddings folder do not know yet.",
            basic=True,
            when=WORDS,
            kohya=names("token_string"),
        ),
    ] = ""
    vectors: Annotated[
        int,
        Option(
            "Vectors per Word",
            "How much the word can hold; each takes one of the 75 places in a prompt. 4 for a character, up "
            "to 8.",
            low=1,
            high=75,
            basic=True,
            when=WORDS,
            kohya=names("num_vectors_per_token"),
        ),
    ] = 4
    start_as: Annotated[
        str,
        Option(
            "Initialization Text",
            "What the word means at first, as tags: each vector starts as one tag (long hair is one), the "
            "rest as random rows of ordinary length. Empty: the class token.",
            when=WORDS,
            kohya=names("init_word"),
        ),
    ] = ""
    start_from: Annotated[
        str,
        Option(
            "Start from Embedding File",
            "Go on with the vectors of an existing embedding.",
            picks="embedding",
            when=WORDS,
            kohya=names("weights"),
        ),
    ] = ""
