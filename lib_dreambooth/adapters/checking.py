"""What settings say about layers, held against a model's names before any of its weights is read."""

from __future__ import annotations

from lib_dreambooth.adapters.planning import (
    Ground,
    check_patterns,
    network_layers,
    plan_network,
    trained_parts,
)
from lib_dreambooth.adapters.whole import check_blocks
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.kinds import FileKind
from lib_dreambooth.settings.meaning import is_adapter
from lib_dreambooth.settings.schema import Run


def check_layers(run: Run, kind: FileKind) -> None:
    """Raises UserError with every pattern that fits nothing of a base of this kind."""
    parts = trained_parts(run, kind.parts)
    ground = Ground(run, names_of(kind), kind.family, parts)
    if not parts:
        return
    if not is_adapter(run):
        check_blocks(ground)
    elif run.network.start_from and run.network.ranks_from_file:
        check_patterns(ground, network_layers(ground))
    else:
        plan_network(ground)
