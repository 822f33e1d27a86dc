"""Checkpoint files to try: sound ones, and one of each wrong kind."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

GOLDEN = Path(__file__).parents[1] / "golden"
PLAIN = GOLDEN / "tiny_plain.pth"
MEFC = GOLDEN / "tiny_mefc.pth"

Tensors = dict[str, torch.Tensor]


def tiny(path: Path = PLAIN) -> Tensors:
    tensors: Tensors = torch.load(path, weights_only=True)["params"]
    return tensors


def full(variant: str, path: Path, *, seed: int = 0) -> Path:
    """A file with exactly the shapes of a published checkpoint; small, for its tensors share their memory."""
    shapes = json.loads((GOLDEN / f"parameters_{variant}.json").read_text())
    sizes = {name: torch.Size(shape).numel() for name, shape in shapes.items()}
    values = torch.randn(max(sizes.values()), generator=torch.Generator().manual_seed(seed)) * 0.01
    torch.save({"params": {name: values[: sizes[name]].view(shapes[name]) for name in shapes}}, path)
    return path


class Touches:
    """Pickles to code that makes the file `marker` when it is run."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"echo ran > {self.marker}",)


def _saved(change: Callable[[Tensors], object]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        tensors = tiny()
        changed = change(tensors)
        torch.save({"params": tensors if changed is None else changed}, path)

    return make


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(change(PLAIN.read_bytes())) and None


def _set(value: float, name: str = "output.weight") -> Callable[[Path], None]:
    return _saved(lambda tensors: tensors[name].view(-1)[7:8].fill_(value) and None)


def _flipped(data: bytes) -> bytes:
    """One bit wrong in the values of a tensor, which only the archive's checksum shows."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _safetensors(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        save_file(tiny(), path)
        path.write_bytes(change(path.read_bytes()))

    return make


def _lying(data: bytes) -> bytes:
    """A header that gives a tensor another shape than its bytes have; the length stays the same."""
    return data.replace(b'"shape":[16,3,3,3]', b'"shape":[16,3,3,9]', 1)


def bomb(path: Path) -> Path:
    """A small archive that unpacks to 64 MiB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/data/0", bytes(64 << 20))
    return path


def _scripted(path: Path) -> None:
    torch.save(torch.nn.Conv2d(3, 8, 3), path)


#: A wrong kind of file -> (how to make it, a word its refusal must hold).
WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "folder": (lambda path: path.mkdir(), "folder"),
    "cut short": (_bytes(lambda data: data[: len(data) // 2]), "cut short"),
    "end missing": (_bytes(lambda data: data[:-10]), "cut short"),
    "only a beginning": (_bytes(lambda data: data[:40]), "cut short"),
    "a bit flipped": (_bytes(_flipped), "damaged"),
    "web page": (lambda path: path.write_text("\n<!DOCTYPE html><html>Sign in</html>"), "web page"),
    "text": (lambda path: path.write_text('{"error": "not found"}'), "no checkpoint"),
    "noise": (lambda path: path.write_bytes(bytes(range(256)) * 40), "no checkpoint"),
    "a NaN": (_set(float("nan")), "NaN"),
    "an infinity": (_set(float("inf")), "NaN or infinite"),
    "whole numbers": (_saved(lambda tensors: {k: v.int() for k, v in tensors.items()}), "int32"),
    "a tensor missing": (
        _saved(lambda tensors: {k: v for k, v in tensors.items() if k != "output.weight"}),
        "output.weight",
    ),
    "a tensor too many": (_saved(lambda tensors: tensors.update(zusatz=torch.zeros(3))), "zusatz"),
    "a tensor reshaped": (
        _saved(lambda tensors: tensors.update({"output.weight": torch.zeros(3, 32, 5, 5)})),
        "3x32x5x5",
    ),
    "other architecture": (
        lambda path: torch.save({"params": torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)).state_dict()}, path),
        "nearest",
    ),
    "no tensor": (_saved(lambda tensors: tensors.update(epoch=7)), "epoch"),
    "no names": (_saved(lambda tensors: list(tensors.values())), "no named tensors"),
    "nothing": (_saved(lambda tensors: {}), "no named tensors"),
    "a name that moves the cursor": (_saved(lambda tensors: {"\x1b[2Jx": torch.zeros(1)}), "names something"),
    "same name twice": (
        _saved(lambda tensors: tensors.update({"module.output.weight": tensors["output.weight"]})),
        "module.",
    ),
    "sparse": (
        _saved(lambda tensors: tensors.update({"output.weight": tensors["output.weight"].to_sparse()})),
        "not a plain dense tensor",
    ),
    "no storage": (
        _saved(lambda tensors: tensors.update({"output.weight": torch.zeros(3, 32, 3, 3, device="meta")})),
        "not a plain dense tensor",
    ),
    "a whole module": (_scripted, "besides tensors"),
    "views of one value": (
        lambda path: torch.save({"params": {"output.weight": torch.zeros(1).expand(1 << 40)}}, path),
        "unpacks to more",
    ),
    "safetensors cut short": (_safetensors(lambda data: data[:-10]), "cut short"),
    "safetensors header cut": (_safetensors(lambda data: data[:50]), "cut short"),
    "safetensors lying": (_safetensors(_lying), "damaged"),
    "safetensors of another": (lambda path: save_file({"a.weight": torch.zeros(3)}, path), "nearest"),
}

#: The kinds met most, for tests of what is built on the reading.
COMMON = ("folder", "web page", "empty", "cut short", "text", "other architecture", "a NaN")


def code(path: Path, marker: Path, form: str) -> Path:
    """A file whose loading by a careless program runs code."""
    if form == "pickle":
        path.write_bytes(pickle.dumps(Touches(marker)))
    elif form == "old pickle":
        path.write_bytes(pickle.dumps(Touches(marker), protocol=0))
    else:
        torch.save(
            {"params": tiny() | {"x": Touches(marker)}}, path, _use_new_zipfile_serialization=form == "zip"
        )
    return path
