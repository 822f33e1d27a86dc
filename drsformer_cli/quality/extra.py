"""Scores that others' packages compute: used where they are installed, else refused with what to install.

`brisque` and `niqe` need no clean picture, `lpips` does; for all of these less is better. A package can bring
a score of its own under the entry point group `drsformer_cli.scores`: a function that takes the restored
picture, and the clean one or None, both (H, W, 3) uint8 RGB, and returns a number. Less counts as better,
unless the function has an attribute `higher_is_better` that is True.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drsformer_cli.errors import DownloadError, SetupError, UsageError
from drsformer_cli.media.pixels import to_depth

Score = Callable[[NDArray[np.uint8], "NDArray[np.uint8] | None"], float]
GROUP = "drsformer_cli.scores"
#: Where AlexNet's weights are kept by torch once they are there.
_ALEXNET = "alexnet-owt-7be5be79.pth"
#: What is called so in reports is something else.
RESERVED = frozenset(
    {
        *("psnr", "ssim", "rainy_psnr", "rainy_ssim", "gain", "name", "status", "restored", "clean", "rainy"),
        *(
            "width",
            "height",
            "remark",
            "reason",
            "notes",
            "protocol",
            "scored",
            "problems",
            "worst",
            "dataset",
        ),
        *("published", "interrupted"),
    }
)


def score(name: str, restored: NDArray[Any], clean: NDArray[Any] | None) -> float:
    """Return one score of (H, W, 3) pictures, brought to 8 bits. Raises SetupError, UsageError as `find`."""
    deep = None if clean is None else to_depth(clean, np.uint8)
    return float(find(name)(to_depth(restored, np.uint8), deep))


def check(name: str, *, truth: bool) -> None:
    """Make sure that a score can be had, without loading it.

    Raises UsageError for one that nobody knows, that is called as something else is or that needs a clean
    picture (`truth` tells if there is any), SetupError for one whose package is missing.
    """
    if name in RESERVED:
        raise UsageError(f"--score {name} would stand in the place of {name}: the score needs another name.")
    if name == "lpips" and not truth:
        raise UsageError("lpips compares with a clean picture: give --gt, too.")
    if name in _KNOWN:
        modules, advice, _ = _KNOWN[name]
        missing = [module for module in modules if find_spec(module) is None]
        if missing and not _plugged(name):
            raise SetupError(f"--score {name} needs {' and '.join(missing)}: {advice}.")
    elif not _plugged(name):
        raise UsageError(
            f"--score {name} is not known: give {', '.join(_KNOWN)} or one that a package brings."
        )


@cache
def find(name: str) -> Score:
    """Return the function for a score, ready to use. Raises SetupError and UsageError for what is missing."""
    check(name, truth=True)
    for entry in _plugged(name):
        try:
            loaded: Score = entry.load()
        except Exception as error:  # whatever others' code may raise, none of the pictures can be scored
            raise SetupError(f"--score {name}: {entry.value} cannot be loaded ({error}).") from error
        return loaded
    return _KNOWN[name][2]()


def better(name: str) -> int:
    """Return 1 where more of a score is better, -1 where less is. Raises as `find` for a plug-in's."""
    return 1 if _plugged(name) and getattr(find(name), "higher_is_better", False) is True else -1


def prepare(name: str) -> None:
    """Fetch what a score needs, once for all processes. Raises as `find`."""
    if name == "lpips" and not _plugged(name) and not _alexnet().is_file():
        find(name)


def _plugged(name: str) -> list[Any]:
    return list(entry_points(group=GROUP, name=name))


def _brisque() -> Score:
    with warnings.catch_warnings():  # it imports from a place that SciPy has moved
        warnings.simplefilter("ignore")
        package = importlib.import_module("brisque")
    model = package.BRISQUE(url=False)
    scale = model.scale_features
    # its features are arrays of one number here and there, which NumPy 2.4 no longer takes for numbers
    model.scale_features = lambda features: scale([np.ravel(each)[0] for each in features])

    def brisque(restored: NDArray[np.uint8], _clean: NDArray[np.uint8] | None) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(model.score(restored))

    return brisque


def _niqe() -> Score:
    metric = importlib.import_module("pyiqa").create_metric("niqe")
    torch = importlib.import_module("torch")

    def niqe(restored: NDArray[np.uint8], _clean: NDArray[np.uint8] | None) -> float:
        return float(metric(_batch(torch, restored)))

    return niqe


def _alexnet() -> Path:
    """Return where torch keeps AlexNet's weights."""
    return Path(importlib.import_module("torch").hub.get_dir()) / "checkpoints" / _ALEXNET


def _lpips() -> Score:
    torch = importlib.import_module("torch")
    kept = _alexnet()
    offline = os.environ.get("DERAIN_OFFLINE", "").strip().lower() not in ("", "0", "no", "false", "off")
    if offline and not kept.is_file():
        raise DownloadError(
            f"lpips needs {_ALEXNET}, and DERAIN_OFFLINE forbids to fetch it: put it at {kept}."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = importlib.import_module("torchmetrics.image.lpip")
            importlib.import_module("torchvision")
        except (ImportError, RuntimeError) as error:  # its compiled half is for one build of torch alone
            raise SetupError(
                f"torchvision does not go with the torch that is here ({error}): install both from one place."
            ) from error
        try:
            network = module.LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True).eval()
        except OSError as error:
            raise DownloadError(
                f"lpips needs {_ALEXNET}, which cannot be fetched ({error}): put it at {kept}."
            ) from error

    def lpips(restored: NDArray[np.uint8], clean: NDArray[np.uint8] | None) -> float:
        if clean is None:
            raise UsageError("lpips compares with a clean picture")
        with torch.inference_mode():
            network.reset()
            return float(network(_batch(torch, restored), _batch(torch, clean)))

    return lpips


def _batch(torch: Any, rgb: NDArray[np.uint8]) -> Any:
    """(1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255


#: What each known score is computed by: modules, what to do where they are missing, and how to load it.
_KNOWN: dict[str, tuple[tuple[str, ...], str, Callable[[], Score]]] = {
    "lpips": (
        ("torchmetrics", "torchvision"),
        'pip install "drsformer-cli[lpips]"',
        _lpips,
    ),
    "brisque": (("brisque",), 'pip install "drsformer-cli[brisque]"', _brisque),
    "niqe": (
        ("pyiqa",),
        "pip install pyiqa, whose licence is for non-commercial use, "
        "or a package with an entry point niqe for drsformer_cli.scores",
        _niqe,
    ),
}
