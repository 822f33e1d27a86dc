"""The ffmpeg program: found, run with an argument list, its complaints put into words."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from drsformer_cli.errors import SetupError, StorageError

VARIABLE = "DERAIN_FFMPEG"


@cache
def ffmpeg() -> str:
    """Return the path of ffmpeg: `DERAIN_FFMPEG`, else the one of imageio-ffmpeg, else the one on PATH.

    Raises SetupError if there is none.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if shutil.which(named) is None:
            raise SetupError(f"{VARIABLE} names {named}, which is no program: correct or unset it.")
        return named
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        found = shutil.which("ffmpeg")
        if found is None:
            raise SetupError("ffmpeg is not here: pip install imageio-ffmpeg, or install ffmpeg.") from None
        return found


def as_url(path: Path) -> str:
    """Return a path so that FFmpeg takes it for a file: what a name begins with may be a protocol to it."""
    return f"file:{path}"


def raise_fault(error: Exception, path: Path) -> None:
    """Raise OSError if that is what kept FFmpeg from reading on; damage and a missing end are none."""
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        raise OSError(error.errno, error.strerror, str(path)) from error


class ToolError(Exception):
    """ffmpeg ended with an error; `str(error)` is the last of what it said."""


def run_tool(words: Sequence[str], place: Path) -> None:
    """Run ffmpeg quietly to its end. `place` is the file it writes, for messages.

    Raises StorageError when the disk is full, else ToolError.
    """
    command = [ffmpeg(), "-hide_banner", "-nostdin", "-v", "error", "-y", *words]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as tool:
        try:
            _, said = tool.communicate()
        except BaseException:
            tool.kill()
            raise
    text = said.decode("utf-8", "replace")
    # it says so and may still end well
    if "No space left on device" in text or "Disk quota exceeded" in text:
        raise StorageError(
            f"the disk is full: {place} could not be written; make room, and the same command goes on."
        )
    if tool.returncode:
        lines = [line for line in text.splitlines() if line.strip()]
        raise ToolError(lines[-1] if lines else f"ffmpeg ended with {tool.returncode}")
