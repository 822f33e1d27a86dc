"""Files behind URLs, through fsspec: listed a folder at a time, read whole, written whole or not at all.

An object store has no half-written objects, no renames and nothing to append to. So a result is one PUT,
which is refused where something stands already that may not be replaced; and what would stand in a manifest
about it is kept in the object's own metadata: the two cannot part, and machines need nothing else in common.
"""

from __future__ import annotations

import importlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from drsformer_cli.errors import OutputError, SetupError, StorageError, UsageError
from drsformer_cli.media.discover import OUTPUT, Contents, Discovery, Source, reason_by_name
from drsformer_cli.media.store_errors import final, words_of

#: What each kind of URL needs, the extra of this package that brings it, and how a PUT names metadata there.
SCHEMES = {
    "s3": ("s3fs", "s3", "Metadata"),
    "gs": ("gcsfs", "gcs", "metadata"),
    "hf": ("huggingface_hub", "hf", None),
}
KEY = "derain"  # of the metadata
MOST_METADATA = 1900  # bytes; S3 takes 2 KB in all
ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.5  # doubles each time
PATIENCE_SECONDS = 30.0  # nothing is begun again after that: some libraries try for half a minute themselves
SILENCE_SECONDS = 60.0  # and a store that says nothing for so long is not there
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
T = TypeVar("T")


@dataclass(frozen=True)
class Seen:
    """What a store tells of an object without reading it; 0 and "" where it does not say."""

    size: int
    mtime_ns: int
    folder: bool = False
    sha256: str = ""


def is_url(text: str) -> bool:
    """Tell whether a word is a URL, `file://` apart, which is a path."""
    return bool(_URL.match(text)) and not text.lower().startswith("file://")


def local(text: str) -> str:
    """Return the path that a `file://` URL means; any other word as it is."""
    if not text.lower().startswith("file://"):
        return text
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise UsageError(f"{text} names another machine: write file:///PATH with three slashes.")
    return url2pathname(parts.path)


def join(url: str, relative: PurePath) -> str:
    """Return the URL of what lies below another."""
    return f"{url.rstrip('/')}/{relative.as_posix()}"


def _open(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it. Raises UsageError, SetupError and OSError."""
    match = _URL.match(url)
    scheme = match[1].lower() if match else ""
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        # the address itself is left out: it may hold a password or a signature
        raise UsageError(f"nothing is known of {scheme}:// addresses; there are {known} and file://.")
    if "@" in url[len(scheme) + 3 :].split("/")[0]:
        raise UsageError(
            f"an address in {scheme}:// holds no user and password; the store's own settings do."
        )
    module, extra, _ = SCHEMES[scheme]
    try:
        importlib.import_module(module)
        import fsspec
    except ImportError:
        raise SetupError(
            f'{url} needs {module}, which is not installed: pip install "drsformer-cli[{extra}]".'
        ) from None
    if scheme == "gs":
        filesystem = _google()
        # where credentials are refused, each request would be tried for half a minute
        _persist(filesystem.credentials.maybe_refresh, url)
    else:
        filesystem = fsspec.filesystem(scheme, use_listings_cache=False)
    if scheme == "hf":  # it logs to the terminal by itself
        logging.getLogger(module).setLevel(logging.CRITICAL)
    return filesystem, filesystem._strip_protocol(url)


def _google() -> Any:
    """Return gcsfs' file system of the JSON API.

    The one that it offers first asks, by gRPC and before each request, what kind of bucket it is: that takes
    minutes where only HTTP gets through. Metadata it leaves out where a bucket is zonal, and so every note.
    """
    import aiohttp

    for library in ("gcsfs", "google"):  # without a handler, their tracebacks would land on the terminal
        logging.getLogger(library).addHandler(logging.NullHandler())
    silence = aiohttp.ClientTimeout(sock_connect=SILENCE_SECONDS, sock_read=SILENCE_SECONDS)
    core = importlib.import_module("gcsfs.core")
    return core.GCSFileSystem(use_listings_cache=False, requests_timeout=silence)


def _persist(work: Callable[[], T], url: str) -> T:
    """Do something with a store, again after a pause when it fails; what will not change is raised at once.

    Raises OSError of the kinds that say what is wrong, StorageError when the store does not answer, and what
    else `store_errors.final` names.
    """
    began, pause = time.monotonic(), FIRST_PAUSE_SECONDS
    for attempt in range(ATTEMPTS):
        try:
            return work()
        except Exception as error:  # each store has errors of its own
            answer = final(error, url)
            if answer is error:
                raise
            if answer is not None:
                raise answer from error
            late = time.monotonic() - began > PATIENCE_SECONDS
            if attempt + 1 == ATTEMPTS or late:
                kind, words = type(error).__name__, words_of(error)
                raise StorageError(f"{url} cannot be reached: {kind}: {words}") from error
            time.sleep(pause)
            pause *= 2
    raise AssertionError("the last attempt returns or raises")


def look(url: str) -> Seen | None:
    """Return what stands at a URL, None if nothing does. Raises SetupError, and OSError if it may not."""
    filesystem, path = _open(url)
    try:
        return _seen(_persist(lambda: filesystem.info(path), url))
    except FileNotFoundError:
        return None
    except StorageError:
        raise
    except (PermissionError, SetupError):
        if "/" in path.strip("/"):
            raise
    # who may read what is in a bucket need not be allowed to ask for the bucket itself
    _persist(lambda: filesystem.ls(path, detail=True), url)
    return Seen(0, 0, folder=True)


def _seen(info: Mapping[str, Any]) -> Seen:
    changed = next(
        (info[key] for key in ("LastModified", "mtime", "updated", "last_modified") if info.get(key)), 0
    )
    if isinstance(changed, str):
        changed = datetime.fromisoformat(changed.replace("Z", "+00:00"))
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    # an empty object with such a name is how consoles mark a folder
    folder = info.get("type") == "directory" or str(info.get("name", "")).endswith("/")
    kept_apart = info.get("lfs") or {}  # as the hub does with large files, under their SHA-256
    mtime_ns = int(float(changed) * 1e6) * 1000
    return Seen(int(info.get("size") or 0), mtime_ns, folder, kept_apart.get("sha256", ""))


def read(url: str) -> bytes:
    """Return all bytes of an object. Raises OSError and StorageError."""
    filesystem, path = _open(url)
    data = _persist(lambda: filesystem.cat_file(path), url)
    assert isinstance(data, bytes)
    return data


def note_of(url: str) -> dict[str, Any] | None:
    """Return what `write` noted of the object at a URL; {} if it did not write it, None if there is none.

    Raises OSError and StorageError.
    """
    filesystem, path = _open(url)

    def ask() -> Any:
        try:
            return filesystem.getxattr(path, KEY)
        except KeyError:  # gcsfs says so that there is none
            return None

    try:
        text = _persist(ask, url)
    except FileNotFoundError:
        return None
    try:
        note = json.loads(text) if text else {}
    except ValueError:
        note = {}
    return note if isinstance(note, dict) else {}


def metadata_at(url: str) -> str:
    """Return what a PUT calls metadata at a URL. Raises UsageError where there is none, and so no results."""
    _, _, keyword = SCHEMES.get(url.partition("://")[0].lower(), ("", "", ""))
    if keyword is None:
        raise UsageError(f"{url}: results cannot be written there, only pictures be read.")
    return keyword


def write(url: str, data: bytes, note: Mapping[str, Any], *, replace: bool) -> None:
    """Write an object, as a whole or not at all, with a note beside its bytes.

    Raises OutputError when something stands there that may not be replaced, or access is denied, and
    StorageError when the store does not answer.
    """
    filesystem, path = _open(url)
    keyword = metadata_at(url)
    text = json.dumps(note, separators=(",", ":"), ensure_ascii=True)
    if len(text) > MOST_METADATA:
        raise OutputError(f"{url}: what is to be noted of it does not fit into its metadata.")
    mode = "overwrite" if replace else "create"
    try:
        _persist(lambda: filesystem.pipe_file(path, data, mode=mode, **{keyword: {KEY: text}}), url)
    except FileExistsError:
        if note_of(url) != json.loads(text):  # an answer may be lost, and the object stand there all the same
            raise OutputError(f"{url} already exists; --overwrite replaces it.") from None
    except FileNotFoundError as error:
        raise OutputError(f"{url} cannot be written: there is no such bucket; make it first.") from error
    except PermissionError as error:
        raise OutputError(f"{url} may not be written: {error.strerror}.") from error


class RemoteWalk:
    """Looks into what a store calls folders below a URL, as `discover.Walk` into those of a disk."""

    def __init__(self, url: str, outputs: list[str], found: Discovery) -> None:
        self._url, self._found = url.rstrip("/"), found
        self._outputs = {output.rstrip("/") for output in outputs}

    def begin(self) -> Contents:
        """Return what the folder itself holds."""
        return self._look_into(PurePosixPath())

    def enter(self, contents: Contents, name: str) -> Contents:
        """Return what a folder in it holds."""
        return self._look_into(PurePosixPath(contents.relative) / name)

    def source(self, contents: Contents, name: str) -> Source:
        """Return a file of a folder as a picture to do."""
        relative = PurePosixPath(contents.relative) / name
        return Source(None, relative, None, False, url=join(self._url, relative))

    def _look_into(self, relative: PurePosixPath) -> Contents:
        url = join(self._url, relative) if relative.parts else self._url
        contents = Contents(Path(), relative)
        for name, seen in _entries(url):
            if not seen.folder and not name:
                continue  # some stores mark a folder by an empty object
            reason = reason_by_name(name, seen.folder, self._found)
            if not reason and seen.folder and join(self._url, relative / name) in self._outputs:
                reason = OUTPUT
            if reason:
                self._found.skip(join(self._url, relative / name), reason)
            else:
                (contents.folders if seen.folder else contents.files).append(name)
        return contents


def _entries(url: str) -> Iterator[tuple[str, Seen]]:
    """Return what a folder holds. Raises SetupError, StorageError where it may not be listed, too."""
    filesystem, path = _open(url)
    try:
        listed = _persist(lambda: filesystem.ls(path, detail=True), url)
    except OSError as error:
        raise StorageError(f"{url} cannot be listed: {error.strerror}.") from error
    for info in listed:
        whole = str(info["name"]).rstrip("/")
        if whole != path.rstrip("/"):
            yield whole.rsplit("/", 1)[-1], _seen(info)
