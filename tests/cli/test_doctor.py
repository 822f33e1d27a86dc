"""What `derain doctor` says of a machine that is not as it should be."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from drsformer_cli import weights
from drsformer_cli.cli import doctor
from drsformer_cli.errors import CheckpointError
from drsformer_cli.restore import device
from tests.cli.conftest import Command


@pytest.fixture(autouse=True)
def few_checks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave out those that have tests of their own, and a cache that somebody filled."""
    monkeypatch.setattr(doctor.ailments, "CHECKS", ())
    monkeypatch.setenv("DERAIN_CACHE", str(tmp_path / "cache"))


def found(outcome: str) -> dict[str, dict[str, str]]:
    """Return what was found, by its topic."""
    return {each["topic"]: each for each in map(json.loads, outcome.splitlines())}


@pytest.mark.parametrize(
    ("driver", "cuda", "words", "advice"),
    [
        (None, None, "none seen", "nothing, unless this machine has one"),
        ("/usr/bin/nvidia-smi", None, "this torch is a CPU build", "pip uninstall -y torch"),
        ("/usr/bin/nvidia-smi", "12.8", "torch for CUDA 12.8 sees none", "update the NVIDIA driver"),
    ],
)
def test_why_no_gpu_is_used(
    derain: Command,
    monkeypatch: pytest.MonkeyPatch,
    driver: str | None,
    cuda: str | None,
    words: str,
    advice: str,
) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda _name: driver)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    outcome = derain("doctor", "--json")
    assert outcome.status == 0, outcome.out
    gpu = found(outcome.out)["gpu"]
    assert (gpu["state"], gpu["found"]) == ("missing", words)
    assert gpu["advice"].startswith(advice)


def test_each_gpu_is_told_by_its_name(derain: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda which: f"card {which.index}")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(device, "memory_limit", lambda which: 3 << 29)
    monkeypatch.setattr(device, "precisions", lambda which: ("fp32", "bf16"))
    topics = found(derain("doctor", "--json").out)
    assert topics["device cuda:1"]["found"] == "fp32, bf16; 1.5 GiB of memory; card 1"
    assert topics["device mps"]["found"] == "fp32, bf16; 1.5 GiB of memory"
    assert topics["device cpu"]["found"].endswith(" threads")
    assert "gpu" not in topics


def test_a_torch_that_does_not_load_leaves_the_other_findings(
    derain: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    outcome = derain("doctor", "--json")
    topics = found(outcome.out)
    assert outcome.status == 3
    assert topics["device cpu"]["state"] == "broken"
    assert topics["device cpu"]["found"].startswith("torch does not load: ")
    assert topics["device cpu"]["advice"] == "pip install --force-reinstall torch"
    assert topics["derain"]["state"] == "ok"


def test_a_bundled_model_that_is_damaged_is_told(derain: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(_path: Path) -> None:
        raise CheckpointError("compact.safetensors is damaged")

    monkeypatch.setattr(weights, "read", damaged)
    outcome = derain("doctor", "--json")
    assert outcome.status == 3
    model = found(outcome.out)["model compact"]
    assert (model["state"], model["found"]) == ("broken", "compact.safetensors is damaged")
    assert model["advice"] == doctor.REINSTALL


def test_a_cache_that_cannot_be_is_a_finding_among_others(
    derain: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERAIN_CACHE", "~no-such-user/models")
    outcome = derain("doctor", "--json")
    assert outcome.status == 3
    topics = found(outcome.out)
    assert topics["model cache"]["state"] == "broken"
    assert "there is no such user" in topics["model cache"]["found"]
    assert topics["model cache"]["advice"] == "set DERAIN_CACHE to a folder that can be"
    assert topics["device cpu"]["state"] == "ok"


def test_an_extra_that_is_missing_is_no_fault(derain: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"no module named {name}", name=name)

    monkeypatch.setattr(doctor, "import_module", missing)
    outcome = derain("doctor", "--json")
    assert outcome.status == 0, outcome.out
    heic = found(outcome.out)["HEIC pictures"]
    assert (heic["state"], heic["advice"]) == ("missing", 'pip install "drsformer-cli[heic]"')
