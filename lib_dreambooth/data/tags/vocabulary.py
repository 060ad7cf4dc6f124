"""What is known about booru tags as far as training depends on it, in the spelling of `tag_key`.

Where a tag's last word tells its kind (`witch hat`), only that word is listed; exceptions are written out.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["people", "body", "accessory", "state", "meta", "other"]


def _tags(text: str) -> frozenset[str]:
    return frozenset(" ".join(tag.split()) for tag in text.split(","))


# Left in a caption these carry what the set shows of people, clothes included; a prompt with `1girl, solo`
# then calls all of it.
CLOTHES_BINDERS = _tags("1girl, 1boy, 1other, solo, solo focus")
PEOPLE = CLOTHES_BINDERS | _tags(
    """2girls, 2boys, 3girls, 3boys, multiple girls, multiple boys, female, male, girl, boy, woman, man,
    person, couple, no humans"""
)
# A part of the body or the hair: belongs to a character whatever it wears.
BODY_ENDINGS = _tags(
    """hair, eyes, eye, bangs, ears, tail, tails, horn, horns, halo, breasts, skin, fang, fangs, mole,
    freckles, sidelocks, ahoge, ponytail, twintails, braid, braids, bun, wings, heterochromia, pupils,
    eyebrows, eyelashes, beard, mustache, scar, tattoo, muscular, dark-skinned female, dark-skinned
    male, hair intakes, bob cut"""
)
# Worn or held: taken off sometimes, so its tag has to stay in the captions.
ACCESSORY_ENDINGS = _tags(
    """hat, cap, beret, bow, bowtie, ribbon, hairband, ornament, earrings, glasses, sunglasses, eyewear,
    headwear, headband, headdress, headphones, hairclip, hairpin, scrunchie, flower, necklace, choker,
    crown, tiara, veil, mask, scarf, gloves, necktie, eyepatch, hood, band, tie, belt, bag, shirt,
    skirt, dress, jacket, coat, uniform, kimono, swimsuit, bikini, shoes, boots, socks, thighhighs,
    pantyhose, pants, shorts, sweater, hoodie, armor, cape, apron, leotard, sleeves, collar, serafuku,
    footwear"""
)
# What a figure happens to be doing. In one picture only, it can be learned as part of the character.
STATES = _tags(
    """closed eyes, one eye closed, half-closed eyes, wink, closed mouth, open mouth, covered mouth,
    crying, tears, blood, nude, wet, wet hair, from behind, from above, from below, upside-down,
    lying, on back, on stomach, sleeping, covered eyes, hair over eyes, facing away, profile,
    monochrome, greyscale, sketch, chibi, eyes visible through hair, torn clothes"""
)
META = _tags(
    """highres, absurdres, lowres, commentary, commentary request, translated, bad id, bad pixiv id,
    official art, signature, watermark, artist name, dated, twitter username, patreon username,
    username, web address, copyright name, character name, english text, logo, sample watermark,
    third-party edit, scan, jpeg artifacts, md5 mismatch, revision, duplicate, commission, skeb
    commission, photoshop (medium)"""
)
QUALITY = _tags(
    """masterpiece, best quality, high quality, normal quality, low quality, worst quality, amazing
    quality, great quality, score 9, score 8 up, score 7 up"""
)
# End like a part of the body but say something else.
NOT_BODY = STATES | _tags("artificial eye, animal hood, cat hood, third eye on chest")

# How much of a figure is seen; from behind counts before its size.
FRAMINGS: dict[str, frozenset[str]] = {
    "back": _tags("from behind, facing away, back focus"),
    "full": _tags("full body, wide shot, very wide shot"),
    "half": _tags("cowboy shot, upper body, lower body, head out of frame"),
    "head": _tags("portrait, close-up, face, face focus, headshot"),
}


def kind_of(key: str) -> Kind:
    """What kind of thing a tag names."""
    if key in PEOPLE:
        return "people"
    if key in META or key in QUALITY:
        return "meta"
    if key in STATES:
        return "state"
    if key.startswith("fake ") or _ends_in(key, ACCESSORY_ENDINGS):
        return "accessory"
    if key.startswith("holding ") or key in NOT_BODY:
        return "other"
    return "body" if _ends_in(key, BODY_ENDINGS) else "other"


def framing_of(keys: frozenset[str]) -> str | None:
    """How much of the figure a caption's tags say is seen: "back", "full", "half" or "head"."""
    return next((framing for framing, tags in FRAMINGS.items() if tags & keys), None)


def _ends_in(key: str, endings: frozenset[str]) -> bool:
    return key in endings or key.rpartition(" ")[2] in endings
