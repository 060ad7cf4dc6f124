"""Curves for Weights & Biases, if it is installed and the user has logged in there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import MissingPackage, UserError
from lib_dreambooth.runs.events import Event, Finished
from lib_dreambooth.training.logs.points import finite_points


class WandbLog:
    """A listener that sends a run's curves; nothing but numbers and settings without paths leaves."""

    def __init__(
        self, project: str, name: str, folder: Path, settings: Mapping[str, Any], run_id: str = ""
    ) -> None:
        self._run: Any = new_run(project, name, folder, settings, run_id)

    def __call__(self, event: Event) -> None:
        found = finite_points(event)
        if found:
            # With their own step: validation comes after the step that it belongs to was sent.
            self._run.log({**found, "step": event.step})  # type: ignore[attr-defined]
        if isinstance(event, Finished):
            self._run.summary["outcome"] = event.outcome

    def close(self) -> None:
        """Sends what is left."""
        self._run.finish()


def new_run(project: str, name: str, folder: Path, settings: Mapping[str, Any], run_id: str) -> Any:
    """wandb's run; raises MissingPackage or UserError."""
    try:
        import wandb
    except ImportError as error:
        raise MissingPackage(
            "sending curves needs the package wandb, which is not installed here.",
            where="logging.wandb",
            todo="Install wandb into the WebUI's environment, or leave this empty. The run goes on without.",
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            project=project,
            name=name,
            dir=str(folder),
            config=dict(settings),
            id=run_id or None,
            resume="allow" if run_id else None,
        )
        run.define_metric("*", step_metric="step")
        return run
    except (OSError, ValueError, RuntimeError, wandb.errors.Error) as error:
        raise UserError(
            f"Weights & Biases cannot be reached ({error}).",
            where="logging.wandb",
            todo="Run `wandb login` in the WebUI's environment. The run goes on without.",
            code="wandb-failed",
        ) from error
