"""Finding, importing and verifying models by their names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from drsformer_cli.errors import CheckpointError, UsageError, WeightsError
from drsformer_cli.weights.catalog import Catalog, catalog
from drsformer_cli.weights.checkpoint import fingerprint, read
from drsformer_cli.weights.store import SUFFIXES, Record, Store, check_name


@dataclass(frozen=True)
class Verified:
    """A model found sound: `sha256` is that of its file."""

    name: str
    path: Path
    variant: str
    sha256: str


def resolve(model: str, *, store: Store | None = None, known: Catalog | None = None) -> Path:
    """Find the file of a model, here and now; nothing is ever downloaded.

    Args:
        model: a name (of the catalogue, or given to an import), or the path of a checkpoint file: a word with
            a path separator in it, or an existing file that ends in .pth, .pt or .safetensors.
        store: where to look, the user's cache by default.
        known: the catalogue, the package's own by default.

    Raises:
        WeightsError: if there is no such model or file; it says what to type.
        CheckpointError: if a kept file has no record, or is of another size than recorded.
    """
    store, known = store or Store(), known if known is not None else catalog()
    if path := _as_path(model):
        return path
    entry = known.get(model)
    if entry is not None and entry.bundled is not None:
        if not entry.bundled.is_file():
            raise WeightsError(
                f"the bundled model {model!r} is missing from {entry.bundled}; install derain again"
            )
        return entry.bundled
    if store.has(model):
        _check_kept(model, store, known)
        return store.path(model)
    if entry is not None:
        raise WeightsError(f"the model {model!r} is not downloaded yet; type `derain weights get {model}`")
    raise unknown_model(model, store, known)


def all_names(store: Store, known: Catalog) -> list[str]:
    """Return the names of all models: those of the catalogue, and then those that were imported."""
    return [*known, *(name for name in store.names() if name not in known)]


def unknown_model(model: str, store: Store, known: Catalog) -> WeightsError:
    """Make the error for a name that is no model's, with the names nearest to it."""
    if model.lower().endswith(SUFFIXES):
        return _no_file(model)
    names = all_names(store, known)
    near = get_close_matches(model.lower(), names, n=3, cutoff=0.5)
    if os.path.lexists(model) and not near:
        return WeightsError(f"{model[:200]} is no model: give a name, or a file in {', '.join(SUFFIXES)}")
    hint = f"did you mean {' or '.join(near)}?" if near else f"the models are {', '.join(names)}"
    return WeightsError(f"there is no model {model[:200]!r}; {hint} (`derain weights list` shows all)")


def import_file(
    path: Path,
    name: str | None = None,
    *,
    force: bool = False,
    store: Store | None = None,
    known: Catalog | None = None,
    waiting: Callable[[], None] | None = None,
) -> Record:
    """Check a checkpoint file and keep a copy of it in the cache.

    Args:
        path: a .pth or .safetensors file; it is only read.
        name: what the model shall be called, made from the file's name by default. A name of the catalogue is
            for files that fit that model.
        force: replace a model that is there already.
        store: where to keep it, the user's cache by default.
        known: the catalogue, the package's own by default.
        waiting: called once if another process is at work on this name.

    Raises:
        CheckpointError: if the file is not a sound DRSformer, or does not fit the name.
        UsageError: if the name cannot be used.
        WeightsError: if there is a model of the name already.
        StorageError: if the cache cannot be written.
    """
    store, known = store or Store(), known if known is not None else catalog()
    name = check_name(name) if name is not None else _name_of(path)
    entry = known.get(name)
    if entry is not None and entry.bundled is not None:
        raise UsageError(f"{name!r} is the name of a bundled model; choose another with --name")
    if store.has(name) and not force:
        raise _taken(name)
    checkpoint = read(path)
    if entry is not None:
        entry.check(checkpoint.config, str(path))
    with store.lock(name, waiting), store.workshop(name) as bench:
        if store.has(name) and not force:
            raise _taken(name)
        # Its name alone: what is kept may be passed on, and where it lay is nobody's business.
        source = path.name.encode("utf-8", "backslashreplace").decode()
        return store.keep(name, checkpoint, bench, source=source, original_sha256=checkpoint.sha256)


def verify(name: str, *, store: Store | None = None, known: Catalog | None = None) -> Verified:
    """Read a model's file again: its hash must be the recorded one, its shapes and values sound.

    Raises:
        CheckpointError: if it is not what it was.
        WeightsError: if there is no such model here.
    """
    store, known = store or Store(), known if known is not None else catalog()
    path = resolve(name, store=store, known=known)
    entry = known.get(name)
    if store.has(name) and path == store.path(name) and _check_kept(name, store, known) != fingerprint(path):
        raise _changed(name, store, known)
    checkpoint = read(path)
    if entry is not None:
        entry.check(checkpoint.config, str(path))
    return Verified(name, path, checkpoint.config.variant, checkpoint.sha256)


def _check_kept(name: str, store: Store, known: Catalog) -> str:
    """Return the recorded hash of a kept model's file if it has a record, and the recorded size."""
    path, record = store.path(name), store.record(name)
    if record is None:
        raise CheckpointError(f"{path} has no record of where it came from; {_again(name, known)}")
    if path.stat().st_size != record.size:
        raise _changed(name, store, known)
    return record.sha256


def _changed(name: str, store: Store, known: Catalog) -> CheckpointError:
    return CheckpointError(f"{store.path(name)} has changed since it was kept; {_again(name, known)}")


def _again(name: str, known: Catalog) -> str:
    return f"type `derain weights get {name} --force`" if name in known else "import it again with --force"


def _as_path(model: str) -> Path | None:
    """The file a word means, None if the word is a name."""
    separators = {"/", os.sep, os.altsep or "/"}
    try:
        path = Path(model).expanduser()
        exists = path.exists()
    except (OSError, RuntimeError, ValueError):  # too long, no such user, or no path at all
        path, exists = Path(model), False
    if any(separator in model for separator in separators):
        if not exists:
            raise _no_file(model)
        return path
    return path if exists and model.lower().endswith(SUFFIXES) else None


def _no_file(model: str) -> WeightsError:
    return WeightsError(f"there is no checkpoint file {model[:200]}; check the spelling")


def _name_of(path: Path) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("._-")
    try:
        return check_name(name)
    except UsageError:
        raise UsageError(f"the name of {path} does not make a model's name; give one with --name") from None


def _taken(name: str) -> WeightsError:
    return WeightsError(
        f"there is a model {name!r} already; choose another name with --name, or replace it with --force"
    )
