"""Bytes of a caption file to text and back, whatever encoding the user's editor chose.

Order: byte order mark, UTF-16 betrayed by NUL bytes, UTF-8, then the legacy encodings by how ordinary the
characters look when read in each. Files of one folder nearly always share an encoding, so `guess_legacy`
takes several files and lets them vote. Nothing here raises on content: damage becomes a problem code.
"""

from __future__ import annotations

import codecs
import unicodedata
from dataclasses import dataclass

from lib_dreambooth.data.captions.legacy import SAMPLE_BYTES, guess_legacy, score

# UTF-32 first: its little-endian mark begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Below this a reading is a guess that the user should look at.
CONVINCING_SCORE = 0.35
# A file that reads as nonsense in its folder's encoding and well in another came from elsewhere.
IMPLAUSIBLE_SCORE, OWN_SCORE = 0.2, 0.6
NUL_BYTES = "nul-bytes"
UNDECODABLE = "undecodable-bytes"
UNSURE = "encoding-unsure"


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text file's content and how it was written, so that an edit can write it the same way."""

    text: str
    encoding: str = "utf-8"
    mark: bytes = b""
    problems: tuple[str, ...] = ()


def decode(data: bytes, hint: str | None = None) -> Decoded:
    """The text in `data`; `hint` is a legacy encoding that its folder's other files agree on."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return _decode_as(data[len(mark) :], encoding, mark)
    wide = utf16_by_nul_bytes(data)
    if wide is not None:
        return _decode_as(data, wide)
    if is_utf8(data):
        return _decode_as(data, utf16_kana(data) or _short_legacy(data, hint) or "utf-8")
    if hint is not None and _reads(data, hint) and score([data], hint) >= IMPLAUSIBLE_SCORE:
        return _decode_as(data, hint)
    encoding, how_ordinary = guess_legacy([data])
    if hint is not None and how_ordinary < OWN_SCORE and _reads(data, hint):
        return _decode_as(data, hint)
    problems = (UNSURE,) if how_ordinary < CONVINCING_SCORE else ()
    return _decode_as(data, encoding, problems=problems)


def encode(text: str, like: Decoded) -> tuple[bytes, str]:
    """Bytes for `text` in the encoding of `like`, and the encoding used: UTF-8 where the old one cannot."""
    try:
        return like.mark + text.encode(like.encoding), like.encoding
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace"), "utf-8"


def is_utf8(data: bytes) -> bool:
    """True when every byte fits UTF-8, so that no legacy guess is needed."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def needs_a_guess(data: bytes) -> bool:
    """True for bytes that only a legacy encoding explains; these vote on their folder's encoding."""
    marked = any(data.startswith(mark) for mark, _ in MARKS)
    return not marked and utf16_by_nul_bytes(data) is None and not is_utf8(data)


def utf16_by_nul_bytes(data: bytes) -> str | None:
    """UTF-16 without a mark, told by NUL bytes that all stand on one side of each pair."""
    head = data[:SAMPLE_BYTES]
    if len(data) % 2 or len(head) < 2 or 0 not in head:
        return None
    even, odd = head[0::2].count(0), head[1::2].count(0)
    for encoding, high, low in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if high == 0 or low > 0 or not _wide_is_plausible(head, encoding):
            continue
        # Plain text with a stray NUL also pairs up into characters, only not into ordinary ones.
        if high * 4 >= len(head) or score([head], encoding) > 0.6:
            return encoding
    return None


def utf16_kana(data: bytes) -> str | None:
    """UTF-16 kana without a mark: every second byte is 0x30, which read as ASCII is the digit 0."""
    head = data[:SAMPLE_BYTES]
    if len(data) % 2 or len(head) < 8:
        return None
    pairs = len(head) // 2
    for encoding, high in (("utf-16-le", head[1::2]), ("utf-16-be", head[0::2])):
        if high.count(0x30) * 2 >= pairs and _wide_is_plausible(head, encoding):
            return encoding
    return None


def _decode_as(data: bytes, encoding: str, mark: bytes = b"", problems: tuple[str, ...] = ()) -> Decoded:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        # What can be read is kept; a replacement character would be trained as a word.
        text = data.decode(encoding, "ignore")
        problems = (*problems, UNDECODABLE)
    if "\0" in text:
        text = text.replace("\0", "")
        problems = (*problems, NUL_BYTES)
    return Decoded(text.replace("\ufeff", ""), encoding, mark, problems)


def _short_legacy(data: bytes, hint: str | None) -> str | None:
    """The folder's encoding for a word or two that happen to be valid UTF-8 (GB18030 猫 reads as è)."""
    if hint is None or data.isascii():
        return None
    # Accented letters are likelier meant as such than those of other scripts, as which 微笑 reads.
    highest = max(map(ord, data.decode("utf-8")))
    enough = 0.9 if highest < 0x250 else 0.7
    return hint if highest < 0x800 and score([data], hint) >= enough else None


def _reads(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def _wide_is_plausible(head: bytes, encoding: str) -> bool:
    try:
        text = head[: len(head) // 2 * 2].decode(encoding)
    except UnicodeDecodeError:
        return False
    strange = sum(
        1 for c in text if unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs") and c not in "\r\n\t"
    )
    return strange * 50 <= len(text)
