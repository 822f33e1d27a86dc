"""What becomes of a hostile checkpoint: sound tensors of a DRSformer, or a refusal; no code, no hang."""

from __future__ import annotations

import json
import random
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drsformer_cli.errors import CheckpointError
from drsformer_cli.weights.checkpoint import read

Header = dict[str, Any]


def attempt(data: bytes, suffix: str = ".safetensors") -> str:
    """Read a file of these bytes as a checkpoint; "whole" or "refused"."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{suffix}"
        path.write_bytes(data)
        try:
            found = read(path)
        except CheckpointError as error:
            text = str(error)
            clear = text.isprintable() and text.startswith(str(path)) and len(text) < 600
            return "refused" if clear else f"words: {text[:300]!r}"
        if not all(bool(value.isfinite().all()) for value in found.tensors.values()):
            return "senseless: values that are no numbers"
        shapes = {name: tuple(value.shape) for name, value in found.tensors.items()}
        return "whole" if shapes == found.config.shapes() else "senseless: other shapes than its network's"


def open_header(data: bytes) -> tuple[Header, bytes]:
    """The header of a safetensors file, and the bytes of its tensors."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(header: Header | bytes, body: bytes, length: int | None = None) -> bytes:
    """A safetensors file; `length` is what it says of its header, if not the truth."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def lie(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file whose header lies in one way, or two."""
    header, body = open_header(data)
    for _ in range(rng.choice((1, 1, 2))):
        made = rng.choice(LIES)(header, rng)
        if isinstance(made, bytes):
            return with_header(made, body)
    if rng.random() < 0.2:
        return with_header(
            header, body, rng.choice((0, 1, 2, 1 << 20, 99_999_999, 1 << 32, 1 << 63, (1 << 64) - 1))
        )
    return with_header(header, body[: rng.randrange(len(body))] if rng.random() < 0.1 else body)


def _some(header: Header, rng: random.Random) -> str:
    return rng.choice([name for name in header if name != "__metadata__"])


def _offsets(header: Header, rng: random.Random) -> None:
    entry = header[_some(header, rng)]
    begin, end = entry["data_offsets"]
    entry["data_offsets"] = rng.choice(
        ([0, end - begin], [begin, begin], [end, begin], [begin, end + 4], [0, 1 << 60], [-1, end], [begin])
    )


def _swapped(header: Header, rng: random.Random) -> None:
    one, other = header[_some(header, rng)], header[_some(header, rng)]
    one["data_offsets"], other["data_offsets"] = other["data_offsets"], one["data_offsets"]


def _shape(header: Header, rng: random.Random) -> None:
    shapes = (
        [1 << 60],
        [0],
        [],
        [1 << 31, 1 << 31],
        [-1],
        [1.5],
        ["3"],
        [1] * 5000,
        [(1 << 63) - 1, 2],
        None,
    )
    header[_some(header, rng)]["shape"] = rng.choice(shapes)


def _dtype(header: Header, rng: random.Random) -> None:
    kinds = ("F64", "F16", "I8", "BOOL", "F8_E4M3", "U64", "C64", "X99", "", 7, None, "f32")
    header[_some(header, rng)]["dtype"] = rng.choice(kinds)


def _name(header: Header, rng: random.Random) -> None:
    names = ("", "\x1b[2J", "a" * 5000, "../../x", "__metadata__", "\0", "module.", "‮", "output.weight ")
    header[rng.choice(names)] = header.pop(_some(header, rng))


def _entry(header: Header, rng: random.Random) -> None:
    header[_some(header, rng)] = rng.choice((None, [], 7, "x", {}, {"dtype": "F32"}, [[]], {"shape": [1]}))


def _missing(header: Header, rng: random.Random) -> None:
    del header[_some(header, rng)]


def _words(header: Header, rng: random.Random) -> None:
    values = (
        {"a": 7},
        {"a": None},
        [],
        "x",
        {"\x1b[2J": "\x1b[2J"},
        {"a": "x" * 100_000},
        {"ensemble": "[" * 9},
    )
    header["__metadata__"] = rng.choice(values)


def _deep(_header: Header, rng: random.Random) -> bytes:
    depth = rng.choice((100, 5000, 500_000))
    return b'{"a":' * depth + b"1" + b"}" * rng.choice((0, depth))


def _twice(header: Header, rng: random.Random) -> bytes:
    text = json.dumps(header)
    return (text[:-1] + "," + text[1:]).encode()


def _many(_header: Header, rng: random.Random) -> bytes:
    row = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return json.dumps({f"t{number}": row for number in range(50_000)}).encode()


def _noise(_header: Header, rng: random.Random) -> bytes:
    return b"{" + rng.randbytes(200)


LIES: tuple[Callable[[Header, random.Random], bytes | None], ...] = (
    *(_offsets, _swapped, _shape, _dtype, _name, _entry, _missing, _words, _deep, _twice, _many, _noise),
)
