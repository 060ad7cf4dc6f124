"""Curves for Weights & Biases, if it is installed and the user has logged in there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import MissingPackage, UserError
from lib_dreambooth.runs.events import Event, Finished
from lib_dreambooth.training.logs.points import finite_points

# By themselves, wandb's runs also send the program's output, its command line and paths, the host's name, the
# state of git and every installed package. Seen gone with 0.16.6 and, where the names begin with "x", 0.31.0.
NOTHING_ELSE = {
    "console": "off",
    "save_code": False,
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "silent": True,
    **{f"{start}_disable_{what}": True for start in ("x", "") for what in ("meta", "machine_info", "stats")},
    **{f"{start}_save_requirements": False for start in ("x", "")},
}
MODES_WITHOUT_LOGIN = ("offline", "disabled", "dryrun")


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
        require_login(wandb)
        folder.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            project=project,
            name=name,
            dir=str(folder),
            config=dict(settings),
            id=run_id or None,
            resume="allow" if run_id else None,
            settings=private_settings(wandb),
        )
        run.define_metric("*", step_metric="step")
        return run
    except (OSError, ValueError, RuntimeError, wandb.errors.Error) as error:
        raise UserError(
            f"Weights & Biases cannot be used ({error}).",
            where="logging.wandb",
            todo="Run `wandb login` in the WebUI's environment. The run goes on without.",
            code="wandb-failed",
        ) from error


def private_settings(wandb: Any) -> Any:
    """What this version of wandb knows of NOTHING_ELSE."""
    known = wandb.Settings()
    return wandb.Settings(**{name: value for name, value in NOTHING_ELSE.items() if hasattr(known, name)})


def require_login(wandb: Any) -> None:
    """Raises UserError where nobody has logged in: wandb would ask in the terminal and wait for an answer."""
    if os.environ.get("WANDB_MODE", "").lower() in MODES_WITHOUT_LOGIN:
        return
    try:
        is_known = wandb.login(prompt=False)
    except TypeError:
        # Versions before `prompt`.
        is_known = bool(wandb.api.api_key)
    if not is_known:
        raise UserError(
            "nobody is logged in to Weights & Biases here.",
            where="logging.wandb",
            todo="Run `wandb login` in the WebUI's environment. The run goes on without.",
            code="wandb-failed",
        )
