"""Going on from a file of any kind of network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lib_dreambooth.base.errors import FileError
from lib_dreambooth.formats.adapter_names import names_of
from lib_dreambooth.formats.lora import write_adapter
from lib_dreambooth.models.loaded import LoadedModel
from tests.adapters.conftest import as_if_trained, attached_to, outputs
from tests.adapters.variants import KINDS, few

pytestmark = pytest.mark.once

EVERY = pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS])


def saved(model: LoadedModel, folder: Path, network: dict[str, Any]) -> tuple[Path, Any]:
    """A file, and what the model says with it."""
    attached = attached_to(model, network=network)
    as_if_trained(attached)
    said = outputs(model)
    attached.eject()
    path = folder / "first.safetensors"
    metadata = {"ss_base_model_version": "sd_v1"}
    write_adapter(path, attached.export(), names_of(model.source.kind), metadata=metadata)
    return path, said


@EVERY
@pytest.mark.parametrize("takes_ranks", [True, False])
def test_what_the_file_did_it_still_does(
    sd1: LoadedModel, kind: str, takes_ranks: bool, tmp_path: Path
) -> None:
    path, said = saved(sd1, tmp_path, few(kind))
    own = {"rank": 16, "alpha": 4.0} if takes_ranks else {}
    network = {**few(kind), **own, "start_from": str(path), "ranks_from_file": takes_ranks}
    attached = attached_to(sd1, network=network)
    found = outputs(sd1)
    attached.eject()
    assert all(torch.allclose(ours, theirs, atol=1e-6) for ours, theirs in zip(found, said, strict=True))
    assert all(
        part.parameter.dtype == torch.float32 and part.parameter.requires_grad for part in attached.parts()
    )
    again = attached_to(sd1, network=few(kind))
    again.eject()
    assert {name: tensor.shape for name, tensor in attached.state().items()} == {
        name: tensor.shape for name, tensor in again.state().items()
    }


@pytest.mark.parametrize("kind", ["loha", "lokr", "glora", "dora"])
def test_another_alpha_acts_as_before(sd1: LoadedModel, kind: str, tmp_path: Path) -> None:
    path, said = saved(sd1, tmp_path, few(kind))
    network = {**few(kind), "alpha": 5.0, "start_from": str(path), "ranks_from_file": False}
    attached = attached_to(sd1, network=network)
    found = outputs(sd1)
    attached.eject()
    assert all(torch.allclose(ours, theirs, atol=1e-3) for ours, theirs in zip(found, said, strict=True))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"rank": 5}, "has a rank of 3 for `lora_unet"),
        ({"kind": "lokr"}, "a network of kind lokr is to be trained"),
        ({"kind": "lora"}, "a network of kind lora is to be trained"),
        ({"decompose": True}, "is not DoRA, and the setting says otherwise"),
    ],
)
def test_other_kinds_and_sizes_are_refused(
    sd1: LoadedModel, changes: dict[str, Any], why: str, tmp_path: Path
) -> None:
    path, _ = saved(sd1, tmp_path, few("loha"))
    network = {**few("loha"), "start_from": str(path), "ranks_from_file": False, **changes}
    before = outputs(sd1)
    with pytest.raises(FileError, match=why) as caught:
        attached_to(sd1, network=network)
    assert caught.value.where == str(path) and caught.value.todo
    assert all(torch.equal(old, new) for old, new in zip(before, outputs(sd1), strict=True))


def test_dora_is_not_gone_on_with_as_lora(sd1: LoadedModel, tmp_path: Path) -> None:
    path, _ = saved(sd1, tmp_path, few("dora"))
    with pytest.raises(FileError, match=r"is DoRA, and the setting says otherwise\. Tick DoRA"):
        attached_to(sd1, network={"start_from": str(path)})


def test_a_trained_scale_starts_at_one(sd1: LoadedModel, tmp_path: Path) -> None:
    path, said = saved(sd1, tmp_path, few("loha scalar"))
    attached = attached_to(sd1, network={**few("loha scalar"), "start_from": str(path)})
    found = outputs(sd1)
    attached.eject()
    scalars = [tensor for name, tensor in attached.state().items() if name.endswith(".scalar")]
    assert scalars and all(float(scalar) == 1.0 for scalar in scalars)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, said, strict=True))
