"""An object store in memory, with what fsspec's file systems have that is used of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Bucket:
    """Objects by path; `refuse` is an error that the next PUTs raise, after the object stands if `late`."""

    objects: dict[str, bytes] = field(default_factory=dict)
    notes: dict[str, dict[str, str]] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    refuse: list[Exception] = field(default_factory=list)
    late: bool = False

    def info(self, path: str) -> dict[str, Any]:
        if path in self.objects:
            size = len(self.objects[path])
            return {"name": path, "size": size, "type": "file", "mtime": self.times.get(path, 5.0)}
        if any(name.startswith(f"{path}/") for name in self.objects):
            return {"name": path, "size": 0, "type": "directory"}
        raise FileNotFoundError(path)

    def cat_file(self, path: str) -> bytes:
        return self.objects[path]

    def getxattr(self, path: str, key: str) -> str | None:
        self.info(path)
        return self.notes.get(path, {}).get(key)

    def pipe_file(self, path: str, data: bytes, *, mode: str, Metadata: dict[str, str]) -> None:  # noqa: N803
        error = self.refuse.pop(0) if self.refuse else None
        if error is not None and not self.late:
            raise error
        if mode == "create" and path in self.objects:
            raise FileExistsError(path)
        self.objects[path], self.notes[path] = data, Metadata
        if error is not None:
            raise error

    def ls(self, path: str, *, detail: bool) -> list[dict[str, Any]]:
        assert detail
        below = {name.removeprefix(f"{path}/") for name in self.objects if name.startswith(f"{path}/")}
        names = sorted({name.split("/")[0] for name in below})
        return [self.info(f"{path}/{name}") if name else {"name": f"{path}/", "size": 0} for name in names]
