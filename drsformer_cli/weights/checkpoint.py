"""Reading one checkpoint file, and trusting nothing in it.

A checkpoint from the net is data, never code: a `.pth` is unpickled with tensors as the only thing allowed,
its size is bounded before anything is read, its tensors must be those of a DRSformer down to the last shape,
and every value must be finite. What a file is, is told from its first bytes; its name says nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drsformer_cli.errors import CheckpointError
from drsformer_cli.media.files import sha256_of
from drsformer_cli.weights.sniff import ZIP, foreign_name, is_cut_short, is_safetensors, is_web_page

if TYPE_CHECKING:
    from torch import Tensor

    from drsformer_cli.model.config import DRSformerConfig

#: No DRSformer comes near it; keeps a hostile or mistaken file from filling the memory. In bytes.
MAX_BYTES = 2 * 1024**3
#: Where the tensors may stand in a .pth, in the order looked at; else the dict itself holds them.
FORMS = ("params", "params_ema", "state_dict")

_NAME = re.compile(r"[A-Za-z0-9_.]{1,200}")


@dataclass(frozen=True)
class Checkpoint:
    """A sound checkpoint.

    Attributes:
        tensors: on the CPU, by name.
        config: of the network they make.
        sha256: of the file's bytes.
        metadata: what a safetensors file says of itself; empty for a `.pth`.
    """

    tensors: dict[str, Tensor]
    config: DRSformerConfig
    sha256: str
    metadata: Mapping[str, str]


def read(path: Path, *, label: str | None = None, limit: int = MAX_BYTES) -> Checkpoint:
    """Read and check a checkpoint file.

    Args:
        path: a `.pth` (tensors under `params`, `params_ema`, `state_dict` or bare, names with or without
            `module.`) or a `.safetensors` file, under any name.
        label: what messages call the file; its path by default.
        limit: most bytes of the file, and of what it unpacks to.

    Raises:
        CheckpointError: if it is anything but a DRSformer with finite values; one sentence says what it is.
    """
    label = label or str(path)
    kind = _kind(path, label, limit)
    # Read once: the file may be replaced or cut while we look, and what is hashed must be what is used.
    data = _bytes(path, label, limit)
    sha256 = hashlib.sha256(data).hexdigest()
    metadata: Mapping[str, str] = {}
    if kind == "safetensors":
        content: Any = _read_safetensors(data, label)
        metadata = _metadata(data)
    else:
        if kind == "zip":
            check_archive(data, label, limit)
        content = _read_pickle(data, path, label)
    del data
    tensors = _tensors(content, label, limit)
    from drsformer_cli.model.config import DRSformerConfig  # here: what is refused sooner needs no torch

    try:
        config = DRSformerConfig.from_shapes({name: tuple(value.shape) for name, value in tensors.items()})
    except CheckpointError as error:
        raise CheckpointError(f"{label}: {error}") from None
    _check_values(tensors, label)
    return Checkpoint({name: value.contiguous() for name, value in tensors.items()}, config, sha256, metadata)


def _metadata(data: bytes) -> Mapping[str, str]:
    """Return the words in the header of a safetensors file that was read without complaint."""
    length = int.from_bytes(data[:8], "little")
    words: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    return words


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        CheckpointError: if the file cannot be read.
    """
    try:
        return sha256_of(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {_reason(error)}") from None


def _kind(path: Path, label: str, limit: int) -> str:
    """Tell a file's kind: `safetensors`, `zip` or `pickle`; refuse what is none, too big or no file."""
    try:
        return _sniff(path, label, limit)
    except OSError as error:
        raise CheckpointError(f"{label} cannot be read: {_reason(error)}") from None


def _sniff(path: Path, label: str, limit: int) -> str:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise CheckpointError(f"{label} is a folder, not a checkpoint file")
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{label} is not a plain file")
    with path.open("rb") as file:
        head = file.read(512)
    if status.st_size == 0:
        raise CheckpointError(f"{label} is empty")
    if status.st_size > limit:
        raise CheckpointError(
            f"{label} is too big for a DRSformer ({status.st_size:,} bytes); it was not read"
        )
    if is_web_page(head):
        raise CheckpointError(
            f"{label} is a web page, not a checkpoint; open the site in a browser to see what it asks for"
        )
    if is_cut_short(path):
        raise CheckpointError(f"{label} is cut short; fetch it again")
    if is_safetensors(path):
        return "safetensors"
    return "zip" if head.startswith(ZIP) else "pickle"


def _bytes(path: Path, label: str, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise CheckpointError(f"{label} cannot be read: {_reason(error)}") from None
    except MemoryError:
        raise CheckpointError(f"{label} does not fit the memory there is") from None


def check_archive(data: bytes, label: str, limit: int) -> None:
    """Check the zip that a .pth is: what it unpacks to, and the checksums of all its members.

    Raises:
        CheckpointError: if it unpacks to more than `limit` bytes, or is damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > limit:
                raise CheckpointError(f"{label} unpacks to more than a DRSformer can be; it was not read")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError):
        raise CheckpointError(f"{label} is damaged: its archive cannot be read; fetch it again") from None
    if damaged is not None:
        raise CheckpointError(f"{label} is damaged: the checksum of {damaged} is wrong; fetch it again")


def _read_safetensors(data: bytes, label: str) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError, AssertionError):
        raise CheckpointError(f"{label} is a damaged safetensors file; fetch it again") from None
    except MemoryError:
        raise CheckpointError(f"{label} does not fit the memory there is") from None


def _read_pickle(data: bytes, path: Path, label: str) -> Any:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on old protocols, storages, escapes; the result is checked anyway
        try:
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception:  # a damaged or hostile pickle can raise anything, and none of it helps the user
            foreign = foreign_name(path)
    if foreign:
        raise CheckpointError(
            f"{label} holds code or objects besides tensors ({foreign}); it was refused and not run"
        )
    raise CheckpointError(f"{label} is damaged, or no checkpoint at all; fetch it again, or name another")


def _tensors(content: Any, label: str, limit: int) -> dict[str, Tensor]:
    """Take the named tensors out of what a file held; plain dense ones, of `limit` bytes in all."""
    import torch

    if isinstance(content, Mapping):
        content = next((content[form] for form in FORMS if form in content), content)
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{label} holds no named tensors; it is no checkpoint")
    tensors: dict[str, Tensor] = {}
    for key, value in content.items():
        # Names end up in messages: they must be names, not whatever a file can make a terminal do.
        if not isinstance(key, str) or not _NAME.fullmatch(key):
            raise CheckpointError(f"{label} is no DRSformer: it names something {str(key)[:60]!a}")
        if not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{label} is no DRSformer: {key} is no tensor but a {type(value).__name__}")
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            raise CheckpointError(f"{label}: {key} is not a plain dense tensor")
        tensors[key.removeprefix("module.")] = value.detach()
    if len(tensors) != len(content):
        raise CheckpointError(f"{label} holds the same tensor with and without 'module.' before its name")
    # A tensor of many values may be a view of few: what it would take, not what the file takes.
    if sum(value.numel() * value.element_size() for value in tensors.values()) > limit:
        raise CheckpointError(f"{label} unpacks to more than a DRSformer can be; it was not read")
    return tensors


def _check_values(tensors: Mapping[str, Tensor], label: str) -> None:
    import torch

    for name, value in tensors.items():
        if value.dtype not in {torch.float16, torch.bfloat16, torch.float32, torch.float64}:
            raise CheckpointError(
                f"{label}: {name} holds {str(value.dtype).removeprefix('torch.')}, not real numbers"
            )
        if not bool(value.isfinite().all()):
            raise CheckpointError(f"{label}: {name} holds NaN or infinite values; the file cannot be used")


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "it does not exist"
    return os.strerror(error.errno).lower() if error.errno else str(error)
