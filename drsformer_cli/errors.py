"""Every error the package raises on purpose. Each says in one sentence what happened and what to do.

    DerainError
    ├── UsageError                the words of a command, or arguments of a function, do not make sense
    ├── InputError                one file cannot be restored; the others can
    │   ├── UnreadableError       damaged, empty, cut short, or not a picture at all
    │   └── UnsupportedError      a whole file of a kind that cannot be kept as it is
    │       └── TooLargeError     a picture of more pixels than are allowed
    ├── OutputError               one result cannot be written (a file in the way, a name too long)
    └── SetupError                nothing can be done until something outside is mended
        ├── WeightsError          a model is unknown, missing, or cannot be had
        │   ├── CheckpointError   a file is not a DRSformer checkpoint, or not a sound one
        │   └── DownloadError     a download failed, was cut, or was something else
        ├── DeviceError           the device asked for is not there, or cannot do what was asked
        ├── MemoryLimitError      not even the smallest tile fits
        └── StorageError          the disk is full, or a folder cannot be written

`exit_status` is what the command line ends with when the error stops it.
"""

from __future__ import annotations

from typing import ClassVar


class DerainError(Exception):
    """Base of all errors of this package; `str(error)` is one sentence fit for a user."""

    exit_status: ClassVar[int] = 3


class UsageError(DerainError):
    """Wrong usage: an option, an argument or a combination that makes no sense."""

    exit_status: ClassVar[int] = 2


class InputError(DerainError):
    """One input cannot be restored. A batch reports it at its end and goes on."""

    exit_status: ClassVar[int] = 1


class UnreadableError(InputError):
    """The file is damaged, empty, cut short, or not a picture at all."""


class UnsupportedError(InputError):
    """The file is sound, but of a kind whose content could not be kept."""


class TooLargeError(UnsupportedError):
    """The file announces more pixels than are allowed. Nothing of them was decoded."""


class OutputError(DerainError):
    """One result cannot be written where it should go."""

    exit_status: ClassVar[int] = 1


class SetupError(DerainError):
    """Nothing can be done until something outside the inputs is mended."""


class WeightsError(SetupError):
    """A model is unknown, not downloaded yet, or cannot be had."""


class CheckpointError(WeightsError):
    """A file is not a DRSformer checkpoint, or holds values that cannot be used."""


class DownloadError(WeightsError):
    """A download failed, was cut short, or brought something that is not a checkpoint."""


class DeviceError(SetupError):
    """The device or precision asked for is not available here."""


class MemoryLimitError(SetupError):
    """Not even the smallest tile fits the memory there is."""


class StorageError(SetupError):
    """The disk is full, or a folder that must be written cannot be."""
