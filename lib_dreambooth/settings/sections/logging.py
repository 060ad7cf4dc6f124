"""What is written down about a run."""

from typing import Annotated

from lib_dreambooth.settings.conditions import is_set
from lib_dreambooth.settings.options import Option, names
from lib_dreambooth.settings.sections.section import Section


class Logging(Section, frozen=True, kw_only=True):
    """Curves and reports."""

    every: Annotated[
        int,
        Option(
            "Log Every",
            "Steps between two points of the curves. Each point makes the program wait for the card once.",
            unit="steps",
            low=1,
            high=10000,
        ),
    ] = 10
    smoothing: Annotated[
        int,
        Option(
            "Graph Smoothing Steps",
            "Steps that the smooth loss curve looks back. 100 shows the trend; a single step's loss says "
            "nothing.",
            unit="steps",
            low=1,
            high=100000,
            old=names("graph_smoothing"),
        ),
    ] = 100
    tensorboard: Annotated[
        bool,
        Option(
            "TensorBoard",
            "Write files for TensorBoard into the model's folder (needs tensorboardX).",
            kohya=names("log_with logging_dir"),
            old=names("disable_logging"),
        ),
    ] = False
    folder: Annotated[
        str,
        Option(
            "TensorBoard Folder",
            "Where TensorBoard's files go. Empty: the model's own logs folder.",
            picks="folder",
            when=is_set("logging.tensorboard"),
            kohya=names("logging_dir log_prefix"),
        ),
    ] = ""
    wandb: Annotated[
        str,
        Option(
            "Weights & Biases Project",
            "Send curves to this project (needs wandb and a login made beforehand). Empty: nothing is sent.",
            kohya=names("log_with log_tracker_name"),
        ),
    ] = ""
    wandb_run: Annotated[
        str,
        Option(
            "Weights & Biases Run Name",
            "Name of the run there. Empty: the model's name.",
            when=is_set("logging.wandb"),
            kohya=names("wandb_run_name"),
        ),
    ] = ""
    report: Annotated[
        bool,
        Option(
            "Report",
            "Write a report with settings, curves, previews and files at the end.",
        ),
    ] = True
