"""What a run and its pages may ask of the program around them: a WebUI, or plain folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

# What `refresh` knows.
ADAPTERS, CHECKPOINTS, EMBEDDINGS = "adapters", "checkpoints", "embeddings"


@dataclass(frozen=True)
class HostPaths:
    """Where this host looks for files. Results go to the first folder of a kind, the others may hold bases.

    Model folders lie in `models` / "dreambooth".
    """

    models: Path
    adapters: Path
    checkpoints: Path
    embeddings: Path
    vae: Path
    diffusers: Path
    more_checkpoints: tuple[Path, ...] = ()

    @property
    def dreambooth(self) -> Path:
        """The folder of model folders."""
        return self.models / "dreambooth"


@dataclass(frozen=True)
class HostSettings:
    """What the user chose in the host. Asked for anew when it is needed, never kept.

    `device` is where the host computes ("cuda:1"); empty where it has no say. `checkpoint` is the file chosen
    for pictures, empty where none is. `pictures` are fields of sampling's PictureSettings by name, for
    previews that equal the host's pictures. `is_training_first` makes pictures wait for the end of a run.
    `may_name_folders` is off where whoever reaches the page must not choose folders of this machine.
    `api_users` are the names and passwords that the host asks programs for.
    """

    device: str = ""
    checkpoint: str = ""
    pictures: Mapping[str, object] = field(default_factory=dict)
    is_training_first: bool = False
    may_name_folders: bool = True
    api_users: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class HostTagger:
    """A tagger that the host brings; `is_here` says whether its file lies on this machine.

    `fetch` gets the file from `source`, about `num_bytes`. `opened()` is a block in which there is a function
    from a Pillow picture to scores by tag, or to the host's text of tags; around it the card has to be lent.
    """

    name: str
    is_here: bool
    source: str
    num_bytes: int
    fetch: Callable[[], object]
    opened: Callable[[], AbstractContextManager[Callable[[Any], Mapping[str, float] | str]]]


class Guest(Protocol):
    """A run on a lent card, which the host may ask to step aside. Called while the run stands still.

    `leave_card` moves all it has to system memory, `take_card` brings it back to where it was; both may come
    from another thread. Within `aside` the process' switches (TF32, repeatable arithmetic) are the host's.
    """

    def leave_card(self) -> None: ...

    def take_card(self) -> None: ...

    def aside(self) -> AbstractContextManager[None]: ...


class Sharing(Protocol):
    """How a run that was lent the card takes turns with whoever lent it; in the thread that has the card."""

    def yield_point(self, guest: Guest) -> None:
        """Between two steps: others may take a turn. Cheap where nobody waits."""

    def away(self, guest: Guest) -> AbstractContextManager[None]:
        """For this block, a pause, the guest has left the card and all of it is the host's."""


class Host(Sharing, Protocol):
    """The program around us. Anything here may be asked for from any thread unless it says otherwise."""

    @property
    def name(self) -> str:
        """For people: "AUTOMATIC1111's WebUI"."""

    @property
    def paths(self) -> HostPaths: ...

    @property
    def language(self) -> str:
        """A code such as "en", "ja", "zh-CN", or empty where nothing was chosen."""

    @property
    def settings(self) -> HostSettings: ...

    @property
    def reads(self) -> frozenset[str] | None:
        """Forms of files that this host reads where others do not; None where that is not known."""

    @property
    def tagger(self) -> HostTagger | None:
        """The host's own tagger; None where it has none."""

    def lend_gpu(self) -> AbstractContextManager[None]:
        """For this block the card is ours, around one run in its thread; given back in any ending."""

    def refresh(self, kind: str) -> None:
        """Lists files of a kind anew, after one was saved. Never an error of the run."""

    def busy(self) -> str:
        """What the host is doing with the card, or why it waits; empty where it is idle."""


class Alone:
    """Sharing where nobody else wants the card."""

    def yield_point(self, guest: Guest) -> None:
        """Nobody waits."""

    @contextmanager
    def away(self, guest: Guest) -> Iterator[None]:
        """Other programs of the machine may want the memory."""
        guest.leave_card()
        try:
            yield
        finally:
            guest.take_card()
