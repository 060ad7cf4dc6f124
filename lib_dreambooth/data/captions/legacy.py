"""Which legacy encoding some bytes are in, told by how ordinary the characters look when read in each."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from lib_dreambooth.data.captions.frequent import JAPANESE, KOREAN, SIMPLIFIED, TRADITIONAL

LEGACY = ("cp932", "gb18030", "cp949", "cp950", "cp1252", "utf-16-le", "utf-16-be")

# Lead bytes of the everyday half of each character set: hanzi and kanji of the first level, hangul.
EVERYDAY_LEADS = {
    "cp932": (0x88, 0x97),
    "gb18030": (0xB0, 0xD7),
    "cp949": (0xB0, 0xC8),
    "cp950": (0xA4, 0xC6),
}
FREQUENT = {
    "cp932": JAPANESE,
    "gb18030": SIMPLIFIED,
    "cp949": KOREAN,
    "cp950": TRADITIONAL,
    "utf-16-le": SIMPLIFIED | TRADITIONAL | JAPANESE | KOREAN,
    "utf-16-be": SIMPLIFIED | TRADITIONAL | JAPANESE | KOREAN,
}
# How much of a file decides; a caption that needs more is no caption.
SAMPLE_BYTES = 65_536


def guess_legacy(samples: Sequence[bytes]) -> tuple[str, float]:
    """The legacy encoding that reads all `samples` best, and how ordinary the result looks (0 to 1)."""
    heads = [sample[:SAMPLE_BYTES] for sample in samples]
    scores = {name: score(heads, name) for name in LEGACY}
    best = max(LEGACY, key=lambda name: scores[name])
    return best, max(0.0, scores[best])


def score(heads: Iterable[bytes], encoding: str) -> float:
    """How ordinary the heads of some files look in `encoding`: 1 at best, below 0 for what cannot be."""
    total, weight = 0.0, 0
    for head in heads:
        if encoding.startswith("utf-16") and (len(head) % 2 or _is_mostly_plain(head)):
            return -1.0
        try:
            # A sample may end in the middle of a character; a whole file that does is damaged.
            text = codecs.getincrementaldecoder(encoding)().decode(head, len(head) < SAMPLE_BYTES)
        except UnicodeDecodeError as error:
            if error.start < min(len(head) - 2, len(head) * 9 // 10):
                total, weight = total - len(head), weight + len(head)
                continue
            text = head.decode(encoding, "ignore")
        gained, bytes_seen = _score_text(text, encoding)
        total, weight = total + gained, weight + bytes_seen
    return total / weight if weight else -1.0


def _is_mostly_plain(head: bytes) -> bool:
    """True where small letters, spaces and commas prevail; of UTF-16 they are a fifth at most."""
    plain = sum(head.count(byte) for byte in b"abcdefghijklmnopqrstuvwxyz ,")
    return plain * 2 > len(head)


def _score_text(text: str, encoding: str) -> tuple[float, int]:
    if encoding == "cp1252":
        return _score_western(text)
    gained, weight = 0.0, 0
    for char, count in Counter(text).items():
        if char < "\x80" and not encoding.startswith("utf-16"):
            continue
        size = len(char.encode(encoding, "ignore"))
        gained += _ordinary(char, encoding) * size * count
        weight += size * count
    return gained, weight


def _score_western(text: str) -> tuple[float, int]:
    """Accented letters stand alone between plain ones; double-byte text gives runs of them."""
    gained, weight = 0.0, 0
    for run in re.findall(r"[^\x00-\x7f]+", text):
        weight += len(run)
        if len(run) == 1 and (run.isalpha() or run in "’‘“”–—…°«»¿¡"):
            gained += 0.9
    return gained, weight


def _ordinary(char: str, encoding: str) -> float:
    """How likely an ordinary caption in this encoding holds this character."""
    if char in FREQUENT[encoding]:
        return 1.0
    if "\uff61" <= char <= "\uff9f":  # half-width katakana: what other encodings' bytes look like in CP932
        return 0.1
    if "\u3041" <= char <= "\u30fe":
        return 1.0 if encoding in ("cp932", "utf-16-le", "utf-16-be") else 0.2
    if char in "、。，！？：；「」『』（）・ー～…　【】《》“”":
        return 0.7
    if unicodedata.category(char) in ("Cc", "Cn", "Co", "Cs"):
        return -1.0 if char not in "\r\n\t" else 0.5
    if encoding.startswith("utf-16"):
        return 0.9 if char < "\u0250" else 0.4 if "\u4e00" <= char <= "\u9fff" or char >= "\uac00" else -0.2
    return _by_lead_byte(char, encoding)


def _by_lead_byte(char: str, encoding: str) -> float:
    raw = char.encode(encoding, "ignore")
    low, high = EVERYDAY_LEADS[encoding]
    if len(raw) != 2:
        return -0.2
    if encoding in ("gb18030", "cp949") and raw[1] < 0xA1:  # the later extensions of GBK and CP949
        return -0.1
    if not ("\u3400" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7a3"):
        return 0.3 if "\uff01" <= char <= "\uff5e" else 0.0
    return 0.5 if low <= raw[0] <= high else 0.1
