"""Curves for TensorBoard, through tensorboardX: TensorBoard itself would move the host's protobuf."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import MissingPackage, UserError
from lib_dreambooth.runs.events import Event, Finished, Saved
from lib_dreambooth.training.logs.points import points


class TensorBoardLog:
    """A listener that writes a run's curves into a folder of its own; `close` when the run is over."""

    def __init__(self, folder: Path, settings_text: str = "") -> None:
        self.folder = folder
        self._writer: Any = new_writer(folder)
        if settings_text:
            # Four blanks make Markdown show it as it is.
            shown = "\n".join(f"    {line}" for line in settings_text.splitlines())
            self._writer.add_text("settings", shown, 0)

    def __call__(self, event: Event) -> None:
        for name, value in points(event).items():
            self._writer.add_scalar(name, value, event.step, walltime=event.time)  # type: ignore[attr-defined]
        if isinstance(event, (Saved, Finished)):
            self._writer.flush()

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()


def new_writer(folder: Path) -> Any:
    """tensorboardX's writer; raises MissingPackage or UserError."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise MissingPackage(
            "TensorBoard files need the package tensorboardX, which is not installed here.",
            where="logging.tensorboard",
            todo="Restart the WebUI, which installs it, or switch this off. The run goes on without.",
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return SummaryWriter(str(folder), write_to_disk=True)
    except OSError as error:
        raise UserError(
            f"TensorBoard files cannot be written there ({error.strerror or error}).",
            where="logging.folder",
            todo="Choose another folder. The run goes on without.",
            code="not-writable",
        ) from error
