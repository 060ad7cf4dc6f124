"""Every option of kohya's training scripts for SD 1, SD 2 and SDXL, with what becomes of it here."""

from __future__ import annotations

from lib_dreambooth.settings.recipes.kohya.datasets import DATASETS
from lib_dreambooth.settings.recipes.kohya.losses import LOSSES
from lib_dreambooth.settings.recipes.kohya.model import MODEL
from lib_dreambooth.settings.recipes.kohya.network import NETWORK
from lib_dreambooth.settings.recipes.kohya.optimizers import OPTIMIZER, argument
from lib_dreambooth.settings.recipes.kohya.output import OUTPUT
from lib_dreambooth.settings.recipes.kohya.rates import RATES
from lib_dreambooth.settings.recipes.kohya.running import RUNNING
from lib_dreambooth.settings.recipes.kohya.texts import TEXTS
from lib_dreambooth.settings.recipes.kohya.watching import WATCHING
from lib_dreambooth.settings.recipes.rules import Rule, Table, unused

KOHYA: Table = {
    **MODEL,
    **OUTPUT,
    **RUNNING,
    **OPTIMIZER,
    **RATES,
    **NETWORK,
    **TEXTS,
    **LOSSES,
    **WATCHING,
    **DATASETS,
}


def more_rules(name: str) -> Rule | None:
    """The arguments of optimizers and schedulers are open sets."""
    if name.startswith("optimizer_args."):
        return argument
    if name.startswith("lr_scheduler_args."):
        return unused("schedules have no further arguments here.")
    if name.startswith("launch."):
        return unused("how a script is launched is not part of a recipe.")
    return None
