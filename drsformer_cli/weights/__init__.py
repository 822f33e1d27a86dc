"""Models by name: the catalogue, the cache, downloads, and the reading of checkpoint files.

Importing this costs nothing; torch and the network libraries are loaded when first needed.
"""

from __future__ import annotations

from drsformer_cli.weights.catalog import Catalog, Entry, Figure, catalog
from drsformer_cli.weights.checkpoint import Checkpoint, fingerprint, read
from drsformer_cli.weights.download import Fetched, get, is_offline
from drsformer_cli.weights.manage import Verified, all_names, import_file, resolve, verify
from drsformer_cli.weights.store import Record, Store, cache_folder

__all__ = [
    "Catalog",
    "Checkpoint",
    "Entry",
    "Fetched",
    "Figure",
    "Record",
    "Store",
    "Verified",
    "all_names",
    "cache_folder",
    "catalog",
    "fingerprint",
    "get",
    "import_file",
    "is_offline",
    "read",
    "resolve",
    "verify",
]
