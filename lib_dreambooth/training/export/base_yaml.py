"""The YAML beside a base, for the checkpoints that were trained on it."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from lib_dreambooth.formats.host_yaml import prediction_of_yaml, yaml_path

log = logging.getLogger(__name__)


def take_along(base: Path, checkpoint: Path, prediction: str) -> None:
    """Copies it beside the checkpoint: it may say what nobody sees in the keys, such as another tokenizer.

    One that is gone, or says another prediction than the checkpoint's, does nothing.
    """
    if not base.is_file() or prediction_of_yaml(base) not in {"epsilon", "v"} & {prediction}:
        return
    try:
        shutil.copyfile(yaml_path(base), yaml_path(checkpoint))
    except OSError as error:
        log.warning("%s could not be taken along: %s", yaml_path(base).name, error)
