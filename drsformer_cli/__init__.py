"""Remove rain from pictures with DRSformer (Chen et al., CVPR 2023).

    import drsformer_cli as derain

    model = derain.load("compact")          # the bundled model, a downloaded one, or a path
    clean = model(rainy)                    # (H, W, 3) uint8, uint16 or float32 in [0, 1]

These names are the public API; everything else may change. They are loaded when first used, so that importing
the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from drsformer_cli import errors

if TYPE_CHECKING:
    from drsformer_cli.model.drsformer import DRSformer
    from drsformer_cli.quality.protocols import psnr, ssim
    from drsformer_cli.restore.restorer import Restorer, load

__version__ = "0.1.0"
__all__ = ["DRSformer", "Restorer", "__version__", "errors", "load", "psnr", "ssim"]

_ROOMS = {
    "DRSformer": "drsformer_cli.model.drsformer",
    "Restorer": "drsformer_cli.restore.restorer",
    "load": "drsformer_cli.restore.restorer",
    "psnr": "drsformer_cli.quality.protocols",
    "ssim": "drsformer_cli.quality.protocols",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
