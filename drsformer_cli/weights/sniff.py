"""What a file is, told from its bytes without loading it: nothing here can run what a file holds."""

from __future__ import annotations

import io
import json
import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: First bytes of a zip archive, which is what `torch.save` writes.
ZIP = b"PK\x03\x04"

_PICKLE_LIMIT = 64 * 1024**2
_HEADER_LIMIT = 100_000_000
_TENSORS_ONLY = re.compile(
    r"collections\.OrderedDict|torch\.[a-z]\w*|torch\.\w*Storage|torch\.Size|torch\.storage\.\w+|torch\._utils\.\w+"
)
_CALLS = {"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"}


def is_web_page(head: bytes) -> bool:
    """Whether a file that begins with `head` is HTML or XML."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return re.match(rb"<(!doctype|!--|\?xml|[a-z])", text, re.IGNORECASE) is not None


def is_cut_short(path: Path) -> bool:
    """Whether a file begins like a checkpoint but its end is missing; False where that cannot be told."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(ZIP):
        try:
            return not zipfile.is_zipfile(path)
        except zipfile.BadZipFile:  # an end is there, and makes no sense
            return False
    if is_safetensors(path):
        return _safetensors_size(path) > size
    return False


def is_safetensors(path: Path) -> bool:
    """Whether a file begins like a safetensors file, whole or not."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _HEADER_LIMIT


def _safetensors_size(path: Path) -> int:
    """Bytes that a safetensors file says it has; 0 if its header cannot be read."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length)
    if len(header) < length:
        return 8 + length
    try:
        ends = [
            value["data_offsets"][1] for name, value in json.loads(header).items() if name != "__metadata__"
        ]
        return 8 + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return 0


def foreign_name(path: Path) -> str | None:
    """The first thing besides tensors that a pickle would import and call, found without running any."""
    imported: str | None = None
    strings: list[str] = []
    for opcode, argument in _opcodes(path):
        if opcode in {"GLOBAL", "INST"}:
            name = ".".join(str(argument).split(" "))
        elif opcode == "STACK_GLOBAL":
            name = ".".join(strings[-2:])
        else:
            name = ""
            if isinstance(argument, str):
                strings.append(argument)
        if re.fullmatch(r"[^\W\d][\w.]*\.\w+", name) and not _TENSORS_ONLY.fullmatch(name):
            imported = imported or name
        # Text may look like an import by chance; only what is then called is code.
        if imported and opcode in _CALLS:
            return imported[:80]
    return None


def _opcodes(path: Path) -> Iterator[tuple[str, Any]]:
    """The opcodes of each pickle in a file, up to the first that makes no sense."""
    content = _pickle_bytes(path)
    data = io.BytesIO(content)
    while data.tell() < len(content):
        try:
            for opcode, argument, _ in pickletools.genops(data):
                yield opcode.name, argument
        except (ValueError, EOFError, UnicodeDecodeError, IndexError, KeyError, OverflowError):
            return


def _pickle_bytes(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            with archive.open(names[0]) as member:
                return member.read(_PICKLE_LIMIT)
    except (zipfile.BadZipFile, zlib.error, LookupError, ValueError, OSError, EOFError, RuntimeError):
        # an archive that lies about its own places can raise any of these
        with path.open("rb") as file:
            return file.read(_PICKLE_LIMIT)
