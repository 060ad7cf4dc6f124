"""The preview is what training uses, with honest counts and cuts."""

from __future__ import annotations

from lib_dreambooth.data.captions.choices import Visit
from lib_dreambooth.data.captions.compose import caption_for, prepare
from lib_dreambooth.data.captions.preview import CaptionPreview, Shown, cut_at, cut_findings, measure, preview
from lib_dreambooth.data.item import CaptionText, Item
from lib_dreambooth.settings.sections.captions import Captions
from lib_dreambooth.settings.sections.concept import Concept


def words(text: str) -> int:
    """A tokenizer for which commas count too, as for the real one."""
    return len(text.replace(",", " , ").split())


def item(text: str, name: str = "a", repeats: int = 2, is_class: bool = False) -> Item:
    caption = CaptionText(text, "txt", f"{name}.txt")
    return Item(name, name, f"{name}.png", caption, 0, is_class, repeats, (64, 64))


def show(one: Item, captions: Captions, concept: Concept | None = None) -> CaptionPreview:
    return next(iter(preview([one], lambda _: (captions, concept or Concept()), words)))


def test_a_fixed_caption_is_shown_whole() -> None:
    shown = show(item("grass"), Captions(), Concept(token="sks", class_token="dog"))
    assert shown == CaptionPreview("a", "a.png", False, "a.txt", (Shown("sks dog, grass", 4),), True)
    assert shown.to_json()["captions"] == [{"text": "sks dog, grass", "tokens": 4, "lost": ""}]


def test_few_outcomes_are_all_shown() -> None:
    shown = show(item("k, a, b"), Captions(shuffle=True, keep_tokens=1))
    assert shown.is_complete
    assert [c.text for c in shown.captions] == ["k, a, b", "k, b, a"]


def test_many_outcomes_show_the_first_visits_as_trained() -> None:
    captions = Captions(shuffle=True, keep_tokens=1)
    one = item("k, a, b, c, d, e, f, g", repeats=2)
    shown = show(one, captions)
    lines = prepare(one.caption.text, captions, Concept())
    assert not shown.is_complete
    assert [c.text for c in shown.captions] == [
        caption_for(lines, captions, Visit(0, "a", n, n // 2, n // 2)) for n in range(3)
    ]


def test_the_cut_is_where_the_tokens_end() -> None:
    captions = Captions(max_tokens=75)
    shown = show(item(", ".join(f"t{i}" for i in range(50))), captions)
    (caption,) = shown.captions
    assert caption.tokens == 99
    kept = caption.text.removesuffix(caption.lost)
    assert caption.lost.startswith(", t38, t39")
    assert (kept.split(", ")[-1], words(kept)) == ("t37", 75)
    finding = cut_findings([shown])[0]
    assert (finding.code, finding.paths) == ("caption-cut", ("a.png",))
    assert "99 tokens" in finding.what
    assert cut_findings([show(item("short"), captions)]) == []


def test_five_thousand_tokens() -> None:
    caption = measure("word " * 5000, words, 225)
    assert caption.tokens == 5000
    assert words(caption.lost) == 4775


def test_scripts_without_spaces_are_cut_inside() -> None:
    assert cut_at("赤い髪の女の子", len, 4) == 4
    assert cut_at("", len, 4) == 0
    assert cut_at("unbreakable", len, 4) == 0
