from __future__ import annotations

import pytest

from lib_dreambooth.base.showing import visible, visible_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("踊り 猫.png", "踊り 猫.png"),
        ("👩\u200d🎤.png", "👩\u200d🎤.png"),
        ("gnp\u202e.exe", "gnp\\u202e.exe"),
        ("\x1b[2J\x07", "\\u001b[2J\\u0007"),
        ("broken \udcff", "broken \\udcff"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("", ""),
    ],
)
def test_what_hides_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == visible_line(text) == shown
    assert visible(shown) == shown


def test_line_ends_stay_or_are_written_out() -> None:
    assert visible("a\n\tb\r") == "a\n\tb\\u000d"
    assert visible_line("a\n\tb") == "a\\n b"
