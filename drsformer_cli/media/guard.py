"""Opening files that may be hostile: size limits before decoding, and libraries that keep quiet."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from types import ModuleType
from typing import TypeVar

from PIL import ImageFile

from drsformer_cli.errors import TooLargeError, UnreadableError

Plugin = TypeVar("Plugin", bound=ImageFile.ImageFile)

# Without a handler of their own, what these libraries log would land on the user's terminal.
for _library in ("PIL", "tifffile"):
    logging.getLogger(_library).addHandler(logging.NullHandler())

_lock = threading.Lock()
_inside = 0
_filter: object = None


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back the warnings of Pillow and tifffile while any thread is inside.

    `warnings.catch_warnings` swaps a global list and is not safe beside other threads; here the first thread
    in adds one filter, and the last one out removes that same filter.
    """
    global _inside, _filter
    with _lock:
        if _inside == 0:
            warnings.filterwarnings("ignore", module=r"(PIL|tifffile)(\.|$)")
            _filter = warnings.filters[0]
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                kept = [each for each in warnings.filters if each is not _filter]
                warnings.filters[:] = kept  # type: ignore[index]  # typed as read-only, but it is a list


def check_size(name: str, width: int, height: int, count: int, max_pixels: int) -> None:
    """Refuse a picture whose header announces nothing, or more pixels than allowed over all its frames.

    Raises UnreadableError and TooLargeError.
    """
    if width < 1 or height < 1 or count < 1:
        raise UnreadableError(f"{name} is damaged: its header announces a picture without pixels.")
    if width * height * count > max_pixels:
        frames = f" in {count} frames" if count > 1 else ""
        raise TooLargeError(
            f"{name} announces {width} x {height} pixels{frames}, more than the {max_pixels:,} allowed: "
            "cut it into smaller pictures first."
        )


def open_plugin(plugin: type[Plugin], data: bytes) -> Plugin:
    """Open bytes with one Pillow plugin.

    Calling the plugin and not `Image.open` leaves Pillow's own limit on pixels aside, which is global and
    would answer differently from `check_size`.
    """
    return plugin(BytesIO(data))


@lru_cache(maxsize=1)
def opencv() -> ModuleType:
    """OpenCV, loaded on first use, and told once to keep its messages to itself."""
    import cv2

    # where the switch is depends on the version; 0 is silent everywhere
    (cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel)(0)
    return cv2
