"""When a setting applies: small conditions on other settings that can be evaluated, said and sent as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lib_dreambooth.base.durations import Duration

# Finds a value by its path, "network.kind"; a path with a leading dot stays inside the same entry of a list.
Look = Callable[[str], Any]


class When:
    """A condition; combine with &, | and ~."""

    def holds(self, look: Look) -> bool:
        raise NotImplementedError

    def sentence(self, label: Look) -> str:
        raise NotImplementedError

    def to_json(self) -> Any:
        raise NotImplementedError

    def paths(self) -> tuple[str, ...]:
        raise NotImplementedError

    def __and__(self, other: When) -> When:
        return Every((self, other))

    def __or__(self, other: When) -> When:
        return Either((self, other))

    def __invert__(self) -> When:
        return Unless(self)


@dataclass(frozen=True)
class Always(When):
    """Applies in every run."""

    def holds(self, look: Look) -> bool:
        return True

    def sentence(self, label: Look) -> str:
        return "always"

    def to_json(self) -> Any:
        return True

    def paths(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class Is(When):
    """A setting has one of some values."""

    path: str
    values: tuple[Any, ...]

    def holds(self, look: Look) -> bool:
        return look(self.path) in self.values

    def sentence(self, label: Look) -> str:
        return f"{label(self.path)} is {' or '.join(map(str, self.values))}"

    def to_json(self) -> Any:
        return {"path": self.path, "is": list(self.values)}

    def paths(self) -> tuple[str, ...]:
        return (self.path,)


@dataclass(frozen=True)
class IsSet(When):
    """A switch is on, a number is not 0, a text or list is not empty, a duration is not "never"."""

    path: str

    def holds(self, look: Look) -> bool:
        value = look(self.path)
        return not value.is_never if isinstance(value, Duration) else bool(value)

    def sentence(self, label: Look) -> str:
        return f"{label(self.path)} is set"

    def to_json(self) -> Any:
        return {"path": self.path, "set": True}

    def paths(self) -> tuple[str, ...]:
        return (self.path,)


@dataclass(frozen=True)
class Unless(When):
    """The opposite of a condition."""

    inner: When

    def holds(self, look: Look) -> bool:
        return not self.inner.holds(look)

    def sentence(self, label: Look) -> str:
        if isinstance(self.inner, Is):
            return f"{label(self.inner.path)} is not {' or '.join(map(str, self.inner.values))}"
        if isinstance(self.inner, IsSet):
            return f"{label(self.inner.path)} is not set"
        return f"not ({self.inner.sentence(label)})"

    def to_json(self) -> Any:
        return {"not": self.inner.to_json()}

    def paths(self) -> tuple[str, ...]:
        return self.inner.paths()


@dataclass(frozen=True)
class Every(When):
    """All of several conditions."""

    parts: tuple[When, ...]

    def holds(self, look: Look) -> bool:
        return all(part.holds(look) for part in self.parts)

    def sentence(self, label: Look) -> str:
        return " and ".join(bracketed(part, label) for part in self.parts)

    def to_json(self) -> Any:
        return {"all": [part.to_json() for part in self.parts]}

    def paths(self) -> tuple[str, ...]:
        return tuple(path for part in self.parts for path in part.paths())


@dataclass(frozen=True)
class Either(When):
    """At least one of several conditions."""

    parts: tuple[When, ...]

    def holds(self, look: Look) -> bool:
        return any(part.holds(look) for part in self.parts)

    def sentence(self, label: Look) -> str:
        return " or ".join(bracketed(part, label) for part in self.parts)

    def to_json(self) -> Any:
        return {"any": [part.to_json() for part in self.parts]}

    def paths(self) -> tuple[str, ...]:
        return tuple(path for part in self.parts for path in part.paths())


def bracketed(part: When, label: Look) -> str:
    """A part of a longer sentence, in brackets where it is itself a list."""
    text = part.sentence(label)
    return f"({text})" if isinstance(part, (Every, Either)) else text


def is_(path: str, *values: Any) -> Is:
    """`path` has one of `values`."""
    return Is(path, values)


def is_set(path: str) -> IsSet:
    """`path` is on, not 0, not empty, not "never"."""
    return IsSet(path)


ALWAYS = Always()
ADAPTER = ~is_("network.kind", "none")
WHOLE = is_("network.kind", "none")
LOW_RANK = is_("network.kind", "lora", "loha", "lokr", "glora")
UNET = is_set("parts.unet.train")
TEXT_ENCODER = is_set("parts.text_encoder_1.train") | is_set("parts.text_encoder_2.train")
WORDS = is_set("parts.words.train")
# A part without a rate of its own has the common one.
COMMON_RATE = Either(
    tuple(
        is_set(f"parts.{part}.train") & ~is_set(f"parts.{part}.rate")
        for part in ("unet", "text_encoder_1", "text_encoder_2", "words")
    )
)
# "auto" is still unknown: the setting may apply.
SDXL = is_("model.family", "auto", "sdxl")
NOT_SDXL = ~is_("model.family", "sdxl")
CLASS_PICTURES = ~is_("class_pictures.relation", "off")
PREVIEWS = is_set("previews.every") | is_set("previews.at_start") | is_set("previews.at_end")
