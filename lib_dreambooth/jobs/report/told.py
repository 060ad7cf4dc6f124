"""What a run says of its base and its pictures when it starts, for whoever reads the log later."""

from __future__ import annotations

from collections import Counter

from lib_dreambooth.training.export.facts import BaseFacts, DataFacts

MOST_TAGS = 15


def told_facts(base: BaseFacts, data: DataFacts) -> dict[str, str]:
    """Facts for `Started`, by the words that a report shows. No path is in them."""
    found = {
        "base": base.file.name,
        "SHA-256 of the base": base.file.sha256,
        "family": base.family,
        "prediction": base.prediction,
        "VAE": base.vae.name if base.vae else "",
        "pictures": _folders(data, is_class=False),
        "class pictures": _folders(data, is_class=True),
        "held-out pictures": str(data.num_validation_images or ""),
        "sizes": ", ".join(f"{width}x{height} ({count})" for (width, height), count in data.buckets.items()),
        "tags in captions": _tags(data),
    }
    return {name: text for name, text in found.items() if text}


def _folders(data: DataFacts, *, is_class: bool) -> str:
    found = {name: one for name, one in data.directories.items() if one.is_class == is_class}
    return ", ".join(
        f"{one.num_pictures} in {name}" + (f" ({one.num_repeats} times each)" if one.num_repeats > 1 else "")
        for name, one in found.items()
    )


def _tags(data: DataFacts) -> str:
    counts: Counter[str] = Counter()
    for one in data.directories.values():
        if not one.is_class:
            counts.update(one.tags)
    shown = ", ".join(f"{tag} ({count})" for tag, count in counts.most_common(MOST_TAGS))
    rest = len(counts) - MOST_TAGS
    return f"{shown} and {rest} more" if rest > 0 else shown
