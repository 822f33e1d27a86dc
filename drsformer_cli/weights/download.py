"""Fetching a model of the catalogue: from Google Drive, from a mirror, or from an address the user gives.

Nobody has published hashes of these files. So a first download is accepted if it is a sound checkpoint of
exactly the published network; its SHA-256 is recorded, and any later download under the name must match.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drsformer_cli.errors import DownloadError, UsageError
from drsformer_cli.weights.catalog import Catalog, Entry, catalog
from drsformer_cli.weights.checkpoint import fingerprint, read
from drsformer_cli.weights.manage import resolve, unknown_model
from drsformer_cli.weights.store import SUFFIXES, Store
from drsformer_cli.weights.transfer import Policy, Progress, check_url, over_drive, over_http, shown


@dataclass(frozen=True)
class Fetched:
    """Where a model is, and whether this call downloaded it."""

    name: str
    path: Path
    downloaded: bool


def is_offline() -> bool:
    """Whether `DERAIN_OFFLINE` forbids all use of the network."""
    return os.environ.get("DERAIN_OFFLINE", "").strip().lower() not in {"", "0", "no", "false", "off"}


def get(
    name: str,
    *,
    url: str | None = None,
    force: bool = False,
    store: Store | None = None,
    known: Catalog | None = None,
    policy: Policy | None = None,
    progress: Progress | None = None,
    waiting: Callable[[], None] | None = None,
) -> Fetched:
    """Fetch a model of the catalogue unless it is here already, whole and unchanged.

    Args:
        name: a name of the catalogue.
        url: an http or https address of the file; one that ends in "/" is a folder that holds NAME.pth or
            NAME.safetensors. By default `DERAIN_WEIGHTS_MIRROR`, such a folder, else Google Drive. An address
            that is not encrypted is used only if it is given so; no redirect leads to one.
        force: fetch in any case, and accept a file that differs from the one recorded.
        store: where to keep it, the user's cache by default.
        known: the catalogue, the package's own by default.
        policy: how often to try and how long to wait.
        progress: called with the bytes that came and the bytes there will be.
        waiting: called once if another process is fetching this model already.

    Raises:
        WeightsError: if there is no such model.
        DownloadError: if it cannot be had, or differs from the one recorded.
        CheckpointError: if what came is not this model.
        StorageError: if the cache cannot be written.
        UsageError: if the address is none.
    """
    store, known = store or Store(), known if known is not None else catalog()
    entry = known.get(name)
    if entry is None:
        raise unknown_model(name, store, known)
    if entry.bundled is not None:
        return Fetched(name, resolve(name, store=store, known=known), downloaded=False)
    addresses = _addresses(entry, url)
    if is_offline() and not force and store.is_whole(name):
        return Fetched(name, store.path(name), downloaded=False)
    if is_offline():
        raise DownloadError(
            f"DERAIN_OFFLINE is set, so the model {name!r} is not downloaded; unset it, or bring the file "
            f"and type `derain weights import FILE --name {name}`"
        )
    with store.lock(name, waiting):
        if not force and store.is_whole(name):
            return Fetched(name, store.path(name), downloaded=False)
        with store.workshop(name) as bench:
            _fetch(entry, addresses, bench, store, force, policy or Policy(), progress)
    return Fetched(name, store.path(name), downloaded=True)


def _fetch(
    entry: Entry,
    addresses: list[str],
    bench: Path,
    store: Store,
    force: bool,
    policy: Policy,
    progress: Progress | None,
) -> None:
    """Bring the file to the bench, check it, and keep it."""
    recorded = None if force else store.record(entry.name)
    original = bench / "original"
    try:
        if addresses:
            source = shown(over_http(addresses, original, policy=policy, progress=progress))
        else:
            over_drive(entry.drive_id or "", original, policy=policy, progress=progress)
            source = entry.source
    except DownloadError as error:
        raise DownloadError(
            f"the model {entry.name!r} was not downloaded: {error}; {_by_hand(entry)}"
        ) from None
    digest = fingerprint(original)
    if recorded is not None and recorded.original_sha256 != digest:
        raise DownloadError(
            f"what came from {source} is not the file recorded for {entry.name!r} on {recorded.added[:10]} "
            f"(SHA-256 {digest[:12]}... instead of {recorded.original_sha256[:12]}...) and was thrown away; "
            f"if you trust the new one, type `derain weights get {entry.name} --force`"
        )
    label = f"what came from {source}"
    checkpoint = read(original, label=label, limit=policy.limit)
    entry.check(checkpoint.config, label)
    store.keep(entry.name, checkpoint, bench, source=source, original_sha256=digest)


def _addresses(entry: Entry, url: str | None) -> list[str]:
    """The http addresses to try in turn; none means Google Drive."""
    base = url or os.environ.get("DERAIN_WEIGHTS_MIRROR")
    if base and (url is None or url.endswith("/")):
        return [
            f"{check_url(base).rstrip('/')}/{entry.name}{suffix}" for suffix in (SUFFIXES[0], SUFFIXES[-1])
        ]
    if base:
        return [check_url(base)]
    if entry.drive_id is None:
        raise UsageError(f"the model {entry.name!r} is published nowhere; give an address with --from")
    return []


def _by_hand(entry: Entry) -> str:
    where = (
        f"open {entry.page} in a browser, download the file"
        if entry.page
        else "fetch the file by other means"
    )
    return f"{where} and type `derain weights import FILE --name {entry.name}`"
