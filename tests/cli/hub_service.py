"""As much of the Hugging Face hub as is read from, with its ways of refusing and of saying so."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from tests.cli.loopback import Answer, Asked, Service, as_json

TOKEN = "hf_neverToBeSeenAnywhere"
SIGNATURE = "Signature-never-to-be-seen"
PAGE = 2  # names in a page of a listing, so that there are always several


@dataclass
class Repo:
    """Files by revision and path; `access` is "public" or "private", or "gated" and "denied" to be read."""

    access: str = "public"
    files: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})


class Hub(Service):
    """Repositories of data; pictures are kept apart, as the hub does with large files."""

    def __init__(self) -> None:
        super().__init__()
        self.repos: dict[str, Repo] = {}
        self.closed = False  # are the large files

    def answer(self, asked: Asked) -> Answer:
        """See `Service`."""
        parts = asked.parts
        if parts[0] == "cdn":
            if self.closed or asked.query.get("Signature") != SIGNATURE:
                return Answer(403, b"<Error>AccessDenied</Error>")
            return Answer(200, self._bytes(parts[1]), ranges=True)
        asks = parts[:2] == ["api", "datasets"]
        if parts[0] not in ("api", "datasets") or parts[:2] == ["api", "agent-harnesses"]:
            return refuse(404, "Sorry, we can't find the page you are looking for.")
        if len(parts) < (4 if asks else 3):
            return self._unknown(asked)
        owner, name, *rest = parts[2 if asks else 1 :]
        repo = self.repos.get(f"{owner}/{name}")
        if repo is None or (refusal := self._refusal(repo, asked, reads=not asks)):
            return self._unknown(asked) if repo is None else refusal
        what, revision, *path = rest or ["revision", "main"]
        if revision not in repo.files:
            return refuse(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        files, at = repo.files[revision], "/".join(path)
        if asks and what == "revision":
            return as_json({"id": f"{owner}/{name}", "sha": "0" * 40, "private": repo.access == "private"})
        if asks and what == "tree":
            return self._tree(files, at, asked)
        if what == "resolve" and at in files:
            return self._content(at, files[at])
        return refuse(404, "Entry not found", "EntryNotFound")

    def _unknown(self, asked: Asked) -> Answer:
        if asked.headers.get("Authorization") == f"Bearer {TOKEN}":
            return refuse(404, "Repository not found", "RepoNotFound")
        return refuse(401, "Invalid username or password.", "RepoNotFound")

    def _refusal(self, repo: Repo, asked: Asked, *, reads: bool) -> Answer | None:
        who = asked.headers.get("Authorization")
        if who not in (None, f"Bearer {TOKEN}"):
            return refuse(401, "Invalid credentials in Authorization header")
        if repo.access == "private" and not who:
            return self._unknown(asked)
        if repo.access == "gated" and reads and not who:
            words = "Access to this dataset is restricted. You must have access to it and be authenticated."
            return refuse(401, words, "GatedRepo")
        if repo.access == "denied" and reads:
            words = "Access to this dataset is restricted and you are not in the authorized list."
            return refuse(403, words, "GatedRepo")
        return None

    def _tree(self, files: dict[str, bytes], path: str, asked: Asked) -> Answer:
        entries: dict[str, dict[str, Any]] = {}
        for name, data in sorted(files.items()):
            if path and not name.startswith(f"{path}/"):
                continue
            leaf, _, below = (name.removeprefix(f"{path}/") if path else name).partition("/")
            at = f"{path}/{leaf}" if path else leaf
            folder = {"type": "directory", "oid": "0" * 40, "size": 0, "path": at}
            entries[at] = folder if below else entry(at, data)
        if not entries and path:
            return refuse(404, f"{path} does not exist", "EntryNotFound")
        begin = int(asked.query.get("cursor", "0"))
        page = list(entries.values())[begin : begin + PAGE]
        if begin + PAGE >= len(entries):
            return as_json(page)
        after = f"{self.url}{asked.path}?recursive=False&expand=False&cursor={begin + PAGE}"
        return as_json(page, Link=f'<{after}>; rel="next"')

    def _content(self, path: str, data: bytes) -> Answer:
        if not large(path):
            return Answer(200, data, ranges=True)
        digest = hashlib.sha256(data).hexdigest()
        return Answer(302, headers={"Location": f"{self.url}/cdn/{digest}?Signature={SIGNATURE}"})

    def _bytes(self, digest: str) -> bytes:
        trees = (tree for repo in self.repos.values() for tree in repo.files.values())
        every = (data for tree in trees for data in tree.values())
        return next(data for data in every if hashlib.sha256(data).hexdigest() == digest)


def large(path: str) -> bool:
    """Tell whether a file is kept apart, as pictures are unless somebody says otherwise."""
    return PurePosixPath(path).suffix in (".png", ".jpg")


def entry(path: str, data: bytes) -> dict[str, Any]:
    """Return what a listing says of a file."""
    said = {"type": "file", "oid": hashlib.sha1(data).hexdigest(), "size": len(data), "path": path}
    if large(path):
        digest = hashlib.sha256(data).hexdigest()
        said["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 130}
    return said


def refuse(status: int, message: str, code: str = "") -> Answer:
    """Return a refusal as the hub words it."""
    headers = {"X_Error_Message": message} | ({"X_Error_Code": code} if code else {})
    return as_json({"error": message}, status, **headers)
