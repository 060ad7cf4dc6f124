"""Items without files, for tests of geometry and order."""

from __future__ import annotations

from lib_dreambooth.data.item import NO_CAPTION, Item


def made_item(
    number: int,
    *,
    size: tuple[int, int] = (512, 512),
    concept: int = 0,
    is_class: bool = False,
    repeats: int = 1,
    face: tuple[int, int, int, int] | None = None,
) -> Item:
    """An item whose id follows its number, so that `number` is its place in a plan."""
    name = f"{'c' if is_class else 'a'}{number:05d}"
    return Item(
        id=name,
        content=name,
        path=f"/pictures/{name}.png",
        caption=NO_CAPTION,
        concept=concept,
        is_class=is_class,
        repeats=repeats,
        size=size,
        face=face,
    )
