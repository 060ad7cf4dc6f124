"""A base from the Hugging Face hub, fetched when somebody asks for it: a diffusers folder or one file."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_dreambooth.base.errors import FileError, UserError
from lib_dreambooth.base.fetching import fetch_into, opened, told_of
from lib_dreambooth.base.files import replace
from lib_dreambooth.base.hashing import sha256_of
from lib_dreambooth.base.showing import shown_bytes
from lib_dreambooth.jobs.bases import INDEX
from lib_dreambooth.jobs.made_files import id_of
from lib_dreambooth.training.export.places import Folders
from lib_dreambooth.training.export.placing import free_bytes

PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")
# Small files that belong to a whole model: sizes, the schedule, the words' own.
SMALL = re.compile(rf"({'|'.join(PARTS)}|tokenizer|tokenizer_2|scheduler)/[^/]+\.(json|txt)")
# Half the bytes where a model has them: what WebUIs draw with. Old models have pickles alone.
WEIGHTS = (".fp16.safetensors", ".safetensors", ".fp16.bin", ".bin")
STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
SHARD = re.compile(r"-\d{5}-of-\d{5}")
NAME = r"[A-Za-z0-9][\w.-]*"
WRITTEN = re.compile(
    rf"(?:https?://[^/]+/)?({NAME}/{NAME})(?:/(?:(?:blob|resolve)/([^/]+)/)?(.+\.(?:safetensors|ckpt)))?/?"
)
LARGEST_ANSWER = 20_000_000
UNFINISHED = ".part"
# Gets bytes done and bytes in all; may raise Cancelled.
Telling = Callable[[int, int], None]
REFUSED, FORBIDDEN, MISSING = 401, 403, 404


@dataclass(frozen=True)
class HubFile:
    """A file of a model; `sha256` is empty for small ones."""

    path: str
    num_bytes: int
    sha256: str = ""


@dataclass(frozen=True)
class HubModel:
    """What would be fetched, and where it goes: `target` is a folder, or the one file."""

    id: str
    revision: str
    files: tuple[HubFile, ...]
    target: Path
    is_folder: bool

    @property
    def num_bytes(self) -> int:
        return sum(file.num_bytes for file in self.files)

    @property
    def is_there(self) -> bool:
        """Whether it was fetched before."""
        return (self.target / INDEX).is_file() if self.is_folder else self.target.is_file()

    def to_json(self) -> dict[str, Any]:
        """The form of the API."""
        return {
            "id": self.id,
            "num_bytes": self.num_bytes,
            "num_files": len(self.files),
            "path": str(self.target),
            "is_there": self.is_there,
        }

    def place_of(self, file: HubFile) -> Path:
        """Where a file goes."""
        return self.target / file.path if self.is_folder else self.target


def is_written_as_hub(text: str) -> bool:
    """Whether a text names a model of the hub: `owner/name`, with a file behind it, or its address."""
    return WRITTEN.fullmatch(text.strip()) is not None and not Path(text.strip()).exists()


def look(text: str, into: Folders, endpoint: str = "") -> HubModel:
    """Asks the hub what there is under a name; raises UserError."""
    found = WRITTEN.fullmatch(text.strip())
    if found is None:
        raise UserError(
            "is no name of the Hugging Face hub.",
            where=text[:80],
            todo="Write it as owner/name, or owner/name/file.safetensors.",
            code="no-hub-name",
        )
    hub_id, revision, single = found[1], found[2] or "main", urllib.parse.unquote(found[3] or "")
    endpoint, headers = hub_of(endpoint)
    url = f"{endpoint}/api/models/{hub_id}/revision/{urllib.parse.quote(revision, safe='')}?blobs=true"
    answer = asked(url, headers, hub_id)
    listed = [
        HubFile(
            str(one["rfilename"]), int(one.get("size") or 0), str((one.get("lfs") or {}).get("sha256", ""))
        )
        for one in answer.get("siblings", [])
        if is_inside(str(one.get("rfilename", "")))
    ]
    return chosen(hub_id, str(answer.get("sha") or revision), listed, single, into)


def chosen(hub_id: str, revision: str, listed: Sequence[HubFile], single: str, into: Folders) -> HubModel:
    """What is fetched of a model's files; raises UserError where it holds none that can be trained from."""
    if not single and any(file.path == INDEX for file in listed):
        # The index comes last: a folder without it is not taken for a model.
        files = [*parts_of(listed, hub_id), *(file for file in listed if file.path == INDEX)]
        target = into.diffusers / hub_id.replace("/", "--")
        return HubModel(hub_id, revision, tuple(files), target, is_folder=True)
    known = {file.path: file for file in listed}
    singles = (
        [single] if single else [path for path in known if path.endswith(".safetensors") and "/" not in path]
    )
    if len(singles) != 1 or singles[0] not in known:
        names = ", ".join(sorted(path for path in known if path.endswith((".safetensors", ".ckpt")))[:8])
        raise UserError(
            "does not say which of its files is meant." if names else "holds no checkpoint.",
            where=hub_id,
            todo=f"Write {hub_id}/ and one of: {names}." if names else "Choose another model.",
            code="no-such-file",
        )
    file = known[singles[0]]
    return HubModel(hub_id, revision, (file,), into.checkpoint / Path(file.path).name, is_folder=False)


def parts_of(listed: Sequence[HubFile], hub_id: str) -> list[HubFile]:
    """The files of a diffusers model that a training reads, and the small ones beside them."""
    files = [file for file in listed if SMALL.fullmatch(file.path)]
    for part in PARTS:
        weights = weights_of(listed, part)
        if not weights and part == "unet":
            raise UserError(
                "has no UNet that can be read.",
                where=hub_id,
                todo="Choose another model.",
                code="not-a-model",
            )
        files += [file for file in weights if file not in files]
    return files


def weights_of(listed: Sequence[HubFile], part: str) -> list[HubFile]:
    """The files of a part's weights, the first form that is there."""
    for ending in WEIGHTS:
        for stem in STEMS:
            wanted = f"{part}/{stem}{ending}"
            found = [file for file in listed if SHARD.sub("", file.path) == wanted]
            if found:
                return found
    return []


def fetch(model: HubModel, tell: Telling, endpoint: str = "") -> dict[str, Any]:
    """Brings all files; what has arrived stays, and is not fetched again. Raises UserError, or Cancelled."""
    endpoint, headers = hub_of(endpoint)
    require_room(model)
    done = 0

    def count(num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        tell(min(done, model.num_bytes), model.num_bytes)

    for file in model.files:
        place = model.place_of(file)
        if place.is_file() and place.stat().st_size == file.num_bytes:
            count(file.num_bytes)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(place.name + UNFINISHED)
        if not file.sha256:
            # Nothing says that what is there is the beginning of it.
            part.unlink(missing_ok=True)
        if not part.is_file() or part.stat().st_size != file.num_bytes:
            url = f"{endpoint}/{model.id}/resolve/{model.revision}/{urllib.parse.quote(file.path)}"
            fetch_into(url, part, count, headers)
        if part.stat().st_size < file.num_bytes:
            raise UserError(
                "broke off on the way.",
                where=f"{model.id}/{file.path}",
                todo="Try again: what has arrived is kept.",
                code="no-network",
            )
        if file.sha256 and sha256_of(part) != file.sha256:
            part.unlink()
            raise FileError(
                "what was downloaded is not the hub's file; it was thrown away.",
                where=f"{model.id}/{file.path}",
                todo="Try again.",
                code="wrong-content",
            )
        replace(part, place)
    return {"id": id_of(model.target), "path": str(model.target), "name": model.id}


def require_room(model: HubModel) -> None:
    """Raises UserError where the disk is too full."""
    free = free_bytes(model.target)
    if free is not None and free < model.num_bytes:
        raise UserError(
            f"needs {shown_bytes(model.num_bytes)}, and {shown_bytes(free)} are free.",
            where=str(model.target),
            todo="Make room on the disk.",
            code="disk-full",
        )


def asked(url: str, headers: Mapping[str, str], hub_id: str) -> dict[str, Any]:
    """The hub's answer about a model."""
    try:
        with told_of(url), opened(url, headers) as answer:
            text = answer.read(LARGEST_ANSWER)
        found = json.loads(text)
    except UserError as error:
        if getattr(error.__cause__, "code", 0) in (REFUSED, FORBIDDEN, MISSING):
            raise UserError(
                "is not on the hub, or only for those who have accepted its terms.",
                where=hub_id,
                todo="Look at the name; for a gated model accept its terms and set HF_TOKEN.",
                code="no-such-file",
            ) from error
        raise
    except ValueError as error:
        raise UserError(
            "the hub's answer cannot be read.", where=url, todo="Try again later.", code="no-network"
        ) from error
    return found if isinstance(found, dict) else {}


def hub_of(endpoint: str) -> tuple[str, dict[str, str]]:
    """The hub's address and who asks, as the user has set them for all programs; raises UserError."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers

    if constants.HF_HUB_OFFLINE and not endpoint:
        raise UserError(
            "this machine is set to stay off the hub (HF_HUB_OFFLINE).",
            todo="Unset HF_HUB_OFFLINE, or download the model by hand.",
            code="no-network",
        )
    headers = {str(name): str(value) for name, value in build_hf_headers().items()}
    return (endpoint or constants.ENDPOINT).rstrip("/"), headers


def is_inside(path: str) -> bool:
    """Whether a name stays below the folder that it is put into."""
    parts = path.split("/")
    return bool(path) and not any(part in ("", ".", "..") or ":" in part or "\\" in part for part in parts)
