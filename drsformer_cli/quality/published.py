"""What has been published for each data set, to stand beside a result.

PSNR (dB) and SSIM over the whole test sets, from the table of Chen, Li, Li, Pan: "Learning A Sparse
Transformer Network for Effective Image Deraining", CVPR 2023 (camera-ready version).
"""

from __future__ import annotations

from dataclasses import dataclass

from drsformer_cli.quality.protocols import Protocol

SOURCE = "Chen et al., CVPR 2023, over the whole test set"


@dataclass(frozen=True)
class Dataset:
    """A data set: its name in print, the protocol of its figures, and methods with their PSNR and SSIM."""

    title: str
    protocol: Protocol
    published: dict[str, tuple[float, float]]


DATASETS: dict[str, Dataset] = {
    "rain200l": Dataset(
        "Rain200L",
        "rain200",
        {
            "DRSformer": (41.23, 0.9894),
            "Restormer": (40.99, 0.9890),
            "MPRNet": (39.47, 0.9825),
            "PReNet": (37.80, 0.9814),
        },
    ),
    "rain200h": Dataset(
        "Rain200H",
        "rain200",
        {
            "DRSformer": (32.17, 0.9326),
            "Restormer": (32.00, 0.9329),
            "MPRNet": (30.67, 0.9110),
            "PReNet": (29.04, 0.8991),
        },
    ),
    "did": Dataset(
        "DID-Data",
        "did-ddn",
        {
            "DRSformer": (35.35, 0.9646),
            "Restormer": (35.29, 0.9641),
            "MPRNet": (33.99, 0.9590),
            "PReNet": (33.17, 0.9481),
        },
    ),
    "ddn": Dataset(
        "DDN-Data",
        "did-ddn",
        {
            "DRSformer": (34.35, 0.9588),
            "Restormer": (34.20, 0.9571),
            "MPRNet": (33.10, 0.9347),
            "PReNet": (32.60, 0.9459),
        },
    ),
    "spa": Dataset(
        "SPA-Data",
        "rain200",
        {
            "DRSformer": (48.54, 0.9924),
            "Restormer": (47.98, 0.9921),
            "MPRNet": (43.64, 0.9844),
            "PReNet": (40.16, 0.9816),
        },
    ),
}
