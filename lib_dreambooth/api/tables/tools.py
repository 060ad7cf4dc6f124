"""Tools on the results of a model, as tasks that are asked for and looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from lib_dreambooth.api.calls import Answer, Body, Call, Route
from lib_dreambooth.api.streaming import file_response
from lib_dreambooth.api.tables.models import base_path, model_of
from lib_dreambooth.api.tables.results import made_of
from lib_dreambooth.base.errors import UserError

PRECISIONS = ("", "fp16", "bf16", "fp32")


class Task(Answer, frozen=True, kw_only=True):
    """Work beside the runs: `status` is waiting, running, done, failed or cancelled."""

    id: str
    kind: str
    title: str
    model: str
    status: str
    done: int
    total: int
    answer: dict[str, Any]
    problem: dict[str, Any] | None
    added: float
    ended: float


class Adapter(Answer, frozen=True, kw_only=True):
    """A LoRA of the host."""

    id: str
    name: str
    num_bytes: int


class Sheet(Answer, frozen=True, kw_only=True):
    """A comparison; `text` is its generation text, its size 0 where it cannot be read."""

    id: str
    time: float
    text: str
    width: int
    height: int


class Merging(Body, frozen=True, kw_only=True):
    """A new checkpoint of this name: `base` (an id or a path; the model's own where it is empty) with this
    result at `weight` and `others`: ids of the host's LoRA files with a weight each."""

    name: str
    base: str = ""
    weight: float = 1.0
    others: dict[str, float] = msgspec.field(default_factory=dict)
    precision: str = ""
    replaces: bool = False


class Resizing(Body, frozen=True, kw_only=True):
    """A new LoRA of this name: of at most `rank`, or with as few ranks as keep `share` of each layer.

    `of` says of what it is a share: frobenius, sum, or ratio.
    """

    name: str
    rank: int = 0
    conv_rank: int = 0
    share: float = 0.0
    of: str = "frobenius"
    replaces: bool = False


class Comparing(Body, frozen=True, kw_only=True):
    """`files` are ids of results, or of the host's LoRA files, embeddings and checkpoints, one row each;
    `strengths` are the columns. A checkpoint is drawn once, in place of the base."""

    files: list[str]
    strengths: list[float]
    prompt: str
    base: str = ""
    negative: str = ""
    steps: int = 20
    guidance: float = 7.0
    seed: int = 0
    sampler: str = "euler a"
    width: int = 0
    height: int = 0


def merging(call: Call) -> dict[str, Any]:
    from lib_dreambooth.adapters.merging import Merge
    from lib_dreambooth.jobs import tooling

    body: Merging = call.body
    made, folder, host = made_of(call), model_of(call), call.host
    require_adapter(made)
    if body.precision not in PRECISIONS:
        raise UserError("is not a precision.", where="precision", todo="Choose fp16, bf16 or fp32.")
    base = own_base(call, body.base)
    others = tooling.named_files(tooling.adapters_of(host), list(body.others))
    weights = [Merge(path, weight) for path, weight in zip(others, body.others.values(), strict=True)]
    files = [Merge(made.path, body.weight), *weights]
    target = tooling.target_for(host, "checkpoint", body.name, replaces=body.replaces)
    task = call.site.worker.tasks.start(
        "merge",
        target.stem,
        lambda watching: tooling.merged(
            call.host,
            folder,
            made,
            base,
            files,
            target,
            watching,
            precision=body.precision,
            replaces=body.replaces,
        ),
        folder.name,
    )
    return task.to_json()


def resizing(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs import tooling
    from lib_dreambooth.tools.resize import Size

    body: Resizing = call.body
    made, folder = made_of(call), model_of(call)
    require_adapter(made)
    size = Size(body.rank, body.conv_rank, body.share, body.of)
    size.check()
    target = tooling.target_for(call.host, "adapter", body.name, replaces=body.replaces)
    if target == made.path:
        raise UserError("source and target are the same.", where="name", todo="Choose another name.")
    task = call.site.worker.tasks.start(
        "resize",
        target.stem,
        lambda watching: tooling.resized(
            call.host, folder, made, size, target, watching, replaces=body.replaces
        ),
        folder.name,
    )
    return task.to_json()


def comparing(call: Call) -> dict[str, Any]:
    from lib_dreambooth.jobs import tooling
    from lib_dreambooth.jobs.trying import MOST_STEPS, Wish
    from lib_dreambooth.tools.compare import check

    body: Comparing = call.body
    folder, host = model_of(call), call.host
    refuse_busy(call)
    files = tooling.named_files(tooling.comparable(folder, host), body.files)
    if not 1 <= body.steps <= MOST_STEPS:
        raise UserError("is not possible.", where="steps", todo=f"Choose 1 to {MOST_STEPS}.")
    wish = Wish(
        prompt=body.prompt,
        base=own_base(call, body.base),
        negative=body.negative,
        sampler=body.sampler,
        steps=body.steps,
        guidance=body.guidance,
        size_wh=(body.width, body.height) if body.width and body.height else None,
        seed=body.seed,
    )
    job = tooling.comparison(host, wish, files)
    check(job, files, body.strengths)
    task = call.site.worker.tasks.start(
        "compare",
        ", ".join(path.stem for path in files[:3]),
        lambda watching: tooling.compared(call.host, folder, job, files, body.strengths, watching),
        folder.name,
    )
    return task.to_json()


def refuse_busy(call: Call) -> None:
    """Raises UserError while a training has the card."""
    entry = call.site.worker.current
    if entry is not None:
        raise UserError(
            "a training has the card.",
            where=entry.model,
            todo="Wait for it, or cancel it.",
            code="is-running",
        )


def require_adapter(made: Any) -> None:
    """Raises UserError for results that are no LoRA."""
    from lib_dreambooth.jobs.tool_files import require_known

    require_known(made.kind, ("adapter",))


def own_base(call: Call, told: str) -> Path:
    """The checkpoint that is meant, the model's own where none is named."""
    return base_path(call, told) if told.strip() else Path(model_of(call).card().base.path)


def adapters(call: Call) -> list[dict[str, Any]]:
    from lib_dreambooth.jobs.tooling import adapters_of

    root = call.host.paths.adapters
    return [
        {"id": one, "name": path.relative_to(root).as_posix(), "num_bytes": path.stat().st_size}
        for one, path in adapters_of(call.host).items()
    ]


def sheets(call: Call) -> list[dict[str, Any]]:
    from lib_dreambooth.jobs.tooling import sheets_in
    from lib_dreambooth.sampling.infotext import text_and_size

    told = []
    for sheet in sheets_in(model_of(call)):
        text, (width, height) = text_and_size(sheet.path)
        told.append({"id": sheet.id, "time": sheet.time, "text": text, "width": width, "height": height})
    return told


def sheet(call: Call) -> Any:
    return file_response(sheet_path(call), "image/png")


def delete_sheet(call: Call) -> list[dict[str, Any]]:
    from lib_dreambooth.api.tables.results import remove

    remove(sheet_path(call))
    return sheets(call)


def sheet_path(call: Call) -> Path:
    """The comparison that a call names; raises UserError."""
    from lib_dreambooth.jobs.made_files import no_such_file
    from lib_dreambooth.jobs.tooling import sheet_of

    found = sheet_of(model_of(call), call.parts["file_id"])
    if found is None:
        raise no_such_file(call.parts["file_id"])
    return found.path


def tasks(call: Call) -> list[dict[str, Any]]:
    return [task.to_json() for task in call.site.worker.tasks.all()]


def task(call: Call) -> dict[str, Any]:
    return call.site.worker.tasks.task(call.parts["task_id"]).to_json()


def cancel(call: Call) -> dict[str, Any]:
    return call.site.worker.tasks.cancel(call.parts["task_id"]).to_json()


MODEL = "/models/{model}"
RESULT = f"{MODEL}/results/{{file_id}}"
ROUTES = (
    Route("GET", "/adapters", "The LoRA files that the host lists", adapters, list[Adapter]),
    Route("POST", f"{RESULT}/merge", "Put it into a checkpoint", merging, Task, Merging, status=202),
    Route("POST", f"{RESULT}/resize", "Make its rank smaller", resizing, Task, Resizing, status=202),
    Route("POST", f"{MODEL}/compare", "Draw files at strengths", comparing, Task, Comparing, status=202),
    Route("GET", f"{MODEL}/comparisons", "What was compared", sheets, list[Sheet]),
    Route("GET", f"{MODEL}/comparisons/{{file_id}}", "One comparison", sheet, "picture"),
    Route("DELETE", f"{MODEL}/comparisons/{{file_id}}", "Remove it", delete_sheet, list[Sheet]),
    Route("GET", "/tasks", "Work beside the runs, the newest first", tasks, list[Task]),
    Route("GET", "/tasks/{task_id}", "How far one is", task, Task),
    Route("DELETE", "/tasks/{task_id}", "Stop one, or forget what is over", cancel, Task),
)
