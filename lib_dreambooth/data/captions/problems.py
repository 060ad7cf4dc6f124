"""The sentences for caption files that are damaged, unreadable or not what they seem."""

from __future__ import annotations

from lib_dreambooth.data.captions.decode import NUL_BYTES, UNDECODABLE, UNSURE, Decoded
from lib_dreambooth.data.item import Finding

SAVE_AGAIN = "Open it in an editor and save it as UTF-8."
LEFT_OUT = "What is broken was left out and the rest is used."


def damage(path: str, decoded: Decoded) -> list[Finding]:
    """A finding for each thing that was wrong with a file's bytes."""
    said = {
        NUL_BYTES: (
            "caption-nul-bytes",
            "The caption holds NUL bytes, as a crash while writing leaves them.",
        ),
        UNDECODABLE: (
            "caption-undecodable",
            f"Some bytes of the caption fit no encoding; it was read as {decoded.encoding}.",
        ),
        UNSURE: (
            "caption-encoding-unsure",
            f"The caption's encoding could only be guessed; it was read as {decoded.encoding}.",
        ),
    }
    found = []
    for problem in decoded.problems:
        code, what = said[problem]
        effect = LEFT_OUT if problem != UNSURE else "If the guess is wrong, nonsense is trained."
        found.append(Finding(code, "warning", (path,), what, effect, SAVE_AGAIN))
    return found


def unreadable(path: str, error: OSError) -> Finding:
    """A caption file that the system does not give out."""
    reason = error.strerror or type(error).__name__
    return Finding(
        "caption-unreadable",
        "error",
        (path,),
        f"The caption file cannot be read ({reason}).",
        "Its picture would train without a caption.",
        "Check that the file is there and that you may read it.",
    )


def too_long(path: str, limit_bytes: int) -> Finding:
    """A caption file that is far too large."""
    return Finding(
        "caption-too-long",
        "warning",
        (path,),
        f"The caption file is larger than {limit_bytes // 1000} KB.",
        "Only its beginning is read.",
        "Check that it is a caption.",
    )


def no_caption_inside(path: str, why: str) -> Finding:
    """A JSON file beside a picture that holds no caption."""
    return Finding(
        "caption-json",
        "warning",
        (path,),
        f"No caption was found in the JSON file: {why}.",
        "Its picture has no caption.",
        'Give it a text under "caption" or a list under "tags".',
    )
