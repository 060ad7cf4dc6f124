"""What happens to a prompt before it is cut into words.

The WebUI's tokenizers pass every prompt through the library ftfy. What that does to ordinary text is done
here in the same order: full-width signs become plain ones (a Japanese or Chinese prompt is full of them),
curly quotes straight, ligatures letters, `&amp;` a sign. Its guessing at text in a wrong encoding is left
out.
"""

from __future__ import annotations

import html
import re
import unicodedata
from html.entities import html5

_ENTITY = re.compile(r"&#?[0-9A-Za-z]{1,24};")
_TERMINAL_ESCAPE = re.compile("\033\\[[0-9;]*[a-zA-Z]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_C1_CONTROL = re.compile("[\x80-\x9f]")
_QUOTES = {ord(quote): "'" for quote in "ʼ‘’‚‛"} | {ord(quote): '"' for quote in "“”„‟"}
_LIGATURES = {
    # The first word of a decomposition says its kind.
    ord(sign): "".join(chr(int(code, 16)) for code in unicodedata.decomposition(sign).split()[1:])
    for sign in "ĲĳŉǱǲǳǄǅǆǇǈǉǊǋǌﬀﬁﬂﬃﬄﬅﬆ"
}
_FULL_WIDTH = {0x3000: " "} | {
    code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFF01, 0xFFF0)
}
_LINE_BREAKS = {ord(sign): "\n" for sign in "\r\u2028\u2029\u0085"}
_CONTROLS = dict.fromkeys(
    [*range(9), 0x0B, *range(0x0E, 0x20), 0x7F, *range(0x206A, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFD)]
)


def clean_text(text: str) -> str:
    """The text as tokenizers see it: plain signs, single spaces, lower case."""
    # Text with a tag in it may mean its entities, from that line on.
    before, angle, after = text.partition("<")
    plain, newline, rest = before.rpartition("\n") if angle else (before, "", "")
    text = _ENTITY.sub(_sign_of, plain) + newline + rest + angle + after
    text = _TERMINAL_ESCAPE.sub("", text)
    text = _C1_CONTROL.sub(_windows_sign, text)
    text = text.translate(_LIGATURES).translate(_FULL_WIDTH).translate(_QUOTES).translate(_LINE_BREAKS)
    if _SURROGATE.search(text):
        text = _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)
        text = _SURROGATE.sub("\ufffd", text)
    text = unicodedata.normalize("NFC", text.translate(_CONTROLS))
    return " ".join(text.split()).lower()


def _sign_of(entity: re.Match[str]) -> str:
    """The sign that an HTML entity stands for, or the entity itself where it is none."""
    text = entity[0]
    if text[1:] in html5:
        return html5[text[1:]]
    if not text.startswith("&#"):
        return text
    sign = html.unescape(text)
    return text if ";" in sign else sign


def _windows_sign(control: re.Match[str]) -> str:
    """What Windows-1252 has in the place of a control character, as browsers read it."""
    return control[0].encode("latin-1").decode("windows-1252", errors="ignore") or control[0]
