"""The models derain knows by name: what `catalog.json` says, as objects.

The catalogue is data. To add a model, add it there; nothing here names one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drsformer_cli.errors import CheckpointError, WeightsError

if TYPE_CHECKING:
    from drsformer_cli.model.config import DRSformerConfig

_FOLDER = Path(__file__).parent
#: What may be told of a network, as its configuration has it.
_NETWORK = {"dim", "blocks", "heads", "hidden", "mefc", "bias", "norm_bias"}


@dataclass(frozen=True)
class Figure:
    """A result on one data set: PSNR in dB and SSIM in [0, 1], measured by `protocol`."""

    dataset: str
    psnr: float
    ssim: float
    protocol: str


@dataclass(frozen=True)
class Entry:
    """One model of the catalogue.

    Attributes:
        name: what users type.
        about: what it is for, in a few words.
        variant: `mefc` or `plain`.
        licence: what may be done with the weights.
        megabytes: the size of its file, roughly.
        citation: the paper to cite.
        network: the attributes its file's `DRSformerConfig` must have, or None if any of the variant will do.
        bundled: the file inside the package, or None for a model that has to be fetched.
        drive_id: the Google Drive file it is published as, or None.
        figures: reported results.
    """

    name: str
    about: str
    variant: str
    licence: str
    megabytes: int = 0
    citation: str = ""
    network: Mapping[str, Any] | None = None
    bundled: Path | None = None
    drive_id: str | None = None
    figures: tuple[Figure, ...] = ()

    @property
    def page(self) -> str | None:
        """The web page a person can download the file from, or None."""
        return f"https://drive.google.com/file/d/{self.drive_id}/view" if self.drive_id else None

    @property
    def source(self) -> str:
        """Where the weights come from, in words."""
        return "bundled" if self.bundled else (self.page or "imported only")

    def check(self, config: DRSformerConfig, label: str) -> None:
        """Check that a checkpoint of network `config`, called `label` in messages, can be this model.

        Raises:
            CheckpointError: if it is of another variant, or of another size than the published one.
        """
        if config.variant != self.variant:
            raise CheckpointError(
                f"{label} is a DRSformer of the {config.variant!r} variant, but the model {self.name!r} is "
                f"of the {self.variant!r} variant; import it under another name"
            )
        differing = ", ".join(
            f"{key} {getattr(config, key)} instead of {wanted}"
            for key, wanted in (self.network or {}).items()
            if getattr(config, key) != wanted
        )
        if differing:
            raise CheckpointError(
                f"{label} is a DRSformer of another size than the published model {self.name!r} "
                f"({differing}); import it under another name"
            )


class Catalog(Mapping[str, Entry]):
    """The known models by name, in the order of the file."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self._entries = {entry.name: entry for entry in entries}

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @classmethod
    def read(cls, path: Path) -> Catalog:
        """Read a catalogue file; bundled models are looked for beside it.

        Raises:
            WeightsError: if it is missing or damaged, as in an installation that was cut short.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(tuple(_entry(model, content, path.parent) for model in content["models"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise WeightsError(f"the catalogue of models {path} is damaged; install derain again") from error


@lru_cache(maxsize=1)
def catalog() -> Catalog:
    """Return the catalogue that ships with the package."""
    return Catalog.read(_FOLDER / "catalog.json")


def _entry(model: Mapping[str, Any], content: Mapping[str, Any], folder: Path) -> Entry:
    """Return one model. Raises KeyError, TypeError and ValueError for what no catalogue has."""
    network = content["networks"][model["network"]] if model["network"] else None
    texts = [content["citation"], *(model[key] for key in ("name", "about", "variant", "licence"))]
    texts += [model[key] for key in ("bundled", "drive_id") if model[key] is not None]
    figures = tuple(Figure(**figure) for figure in model["figures"])
    texts += [text for figure in figures for text in (figure.dataset, figure.protocol)]
    numbers = [model["megabytes"], *(each for figure in figures for each in (figure.psnr, figure.ssim))]
    if not all(isinstance(text, str) and text.isprintable() and text for text in texts):
        raise TypeError("a text that is none")
    if not all(type(number) in (int, float) and 0 <= number < 1e9 for number in numbers):
        raise ValueError("a number that is none")
    if model["bundled"] and Path(model["bundled"]).name != model["bundled"]:
        raise ValueError("a bundled model elsewhere")
    if not set(network or {}) <= _NETWORK:
        raise ValueError("what no network has")
    return Entry(
        name=model["name"],
        about=model["about"],
        variant=model["variant"],
        licence=model["licence"],
        megabytes=model["megabytes"],
        citation=content["citation"],
        network=network and {key: tuple(n) if isinstance(n, list) else n for key, n in network.items()},
        bundled=folder / model["bundled"] if model["bundled"] else None,
        drive_id=model["drive_id"],
        figures=figures,
    )
