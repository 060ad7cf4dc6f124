"""What a run is asked to do: schema, presets, files, validation, other tools' configs."""

from lib_dreambooth.settings.facts import Facts
from lib_dreambooth.settings.reading import (
    Review,
    check,
    defaults,
    read,
    replace,
    review,
    review_changes,
    review_typed,
    update,
)
from lib_dreambooth.settings.schema import Run
from lib_dreambooth.settings.sources import Sourced

__all__ = [
    "Facts",
    "Review",
    "Run",
    "Sourced",
    "check",
    "defaults",
    "read",
    "replace",
    "review",
    "review_changes",
    "review_typed",
    "update",
]
