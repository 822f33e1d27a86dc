"""What a shell completes besides commands, options and their choices: names of models, and usual words.

Where nothing fits, the shell goes on with the names of files.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from drsformer_cli.errors import DerainError

Completer = Callable[[str], list[str]]


def model_names(incomplete: str) -> list[str]:
    """Return the models' names that begin so: those of the catalogue, and those that were imported."""
    from drsformer_cli.weights import Store, all_names, catalog

    names: list[str] = []
    with suppress(DerainError, OSError):  # the command tells of what cannot be read
        known = catalog()
        names = list(known)  # all there is to offer where the cache cannot be read
        names = all_names(Store(), known)
    return [name for name in names if name.startswith(incomplete)]


def words(*choices: str) -> Completer:
    """Return a completer of a few words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in choices if word.startswith(incomplete)]

    return complete


DEVICES = words("auto", "cpu", "cuda", "cuda:0", "mps")
TILES = words("auto", "off", "256", "512", "1024")
SCORES = words("lpips", "brisque", "niqe")
