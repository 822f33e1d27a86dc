"""Speed of films against the model alone and against ffmpeg, in turn in one run; flicker before and after.

python benchmarks/video.py model [--frames N] [--rounds N]    the bundled model, 640 x 480
python benchmarks/video.py same [--frames N] [--rounds N]     a model that returns its input, against ffmpeg
python benchmarks/video.py flicker BEFORE AFTER               two films of the same length
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from drsformer_cli.jobs.film_batch import FilmBatch
from drsformer_cli.jobs.film_events import FilmDone
from drsformer_cli.jobs.film_plan import Wish
from drsformer_cli.jobs.naming import Task
from drsformer_cli.media.discover import Source
from drsformer_cli.media.video_tool import ffmpeg

PICTURE = Path(__file__).parents[1] / "examples" / "animals" / "chelsea.jpg"
#: Levels by which a blurred static place may change from picture to picture.
STILL = 1.0


class Same:
    """A model that returns its input."""

    settings: dict[str, Any] = {"model": "same"}  # noqa: RUF012  (a constant)

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return the picture itself."""
        return rainy, {"whole": True, "precision": "none"}

    def describe(self, height: int, width: int) -> dict[str, Any]:
        """Tell nothing of interest."""
        return {"size": [height, width]}

    def go_on_as(self, plan: Mapping[str, Any]) -> None:
        """Have no ways to keep to."""


def make_clip(path: Path, frames: int) -> Path:
    """Write a film of 640 x 480: a slow pan over a photograph, with a camera's noise, and a tone."""
    pan = "scale=1400:-2,crop=640:480:x='30*t':y='10*t',noise=alls=6:allf=t,format=yuv420p"
    words = ["-loop", "1", "-i", str(PICTURE), "-f", "lavfi", "-i", f"sine=duration={frames / 25}"]
    words += [
        "-vf",
        pan,
        "-frames:v",
        str(frames),
        "-c:v",
        "libx264",
        "-crf",
        "16",
        "-c:a",
        "aac",
        "-shortest",
    ]
    _run(*words, str(path))
    return path


def _run(*words: str) -> None:
    subprocess.run([ffmpeg(), "-v", "error", "-nostdin", "-y", *words], check=True)


def film_seconds(source: Path, model: Any) -> float:
    """Return the seconds that a film takes from its probing to the finished file."""
    with tempfile.TemporaryDirectory() as folder:
        task = Task(
            Source(source, PurePath(source.name), source.parent, True), Path(folder), PurePath("out.mp4")
        )
        start = time.perf_counter()
        last = list(FilmBatch([task], model, Wish()))[-1]
        seconds = time.perf_counter() - start
    if not isinstance(last, FilmDone):
        raise SystemExit(str(last))
    return seconds


def in_turn(sides: Mapping[str, Callable[[], float]], rounds: int, frames: int) -> None:
    """Time the sides in turn; print medians, least and most, and the ratio of the medians."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            seconds[name].append(side())
            print(f"  {name}: {seconds[name][-1]:.2f} s", flush=True)
    for name, values in seconds.items():
        middle = statistics.median(values)
        print(
            f"{name}: median {middle:.2f} s ({min(values):.2f} to {max(values):.2f}), "
            f"{frames / middle:.2f} pictures a second"
        )
    first, second = (statistics.median(values) for values in seconds.values())
    print(f"speed of the second by the first: {first / second:.3f}")


def against_model(frames: int, rounds: int) -> None:
    """Compare a film with the same pictures through the model, one after the other."""
    from drsformer_cli.restore.restorer import load

    model = load("compact")
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "clip.mp4", frames)
        pictures = read(clip)
        model.restore(pictures[0])

        def alone() -> float:
            start = time.perf_counter()
            for picture in pictures:
                model.restore(picture)
            return time.perf_counter() - start

        print(f"{frames} pictures of 640 x 480, {model.describe(480, 640)}")
        in_turn({"the model alone": alone, "the film": lambda: film_seconds(clip, model)}, rounds, frames)


def against_ffmpeg(frames: int, rounds: int) -> None:
    """Compare a film whose model does nothing with ffmpeg's own transcoding to the same codec."""
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "clip.mp4", frames)

        def transcode() -> float:
            start = time.perf_counter()
            out = str(Path(folder) / "out.mp4")
            _run("-i", str(clip), "-c:v", "libx264", "-crf", "16", "-preset", "medium", "-c:a", "copy", out)
            return time.perf_counter() - start

        print(f"{frames} pictures of 640 x 480")
        in_turn({"ffmpeg": transcode, "the film": lambda: film_seconds(clip, Same())}, rounds, frames)


def read(path: Path) -> list[NDArray[np.uint8]]:
    """Return all pictures of a film as RGB."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def flicker(before: Path, after: Path) -> None:
    """Print the mean change of luma from picture to picture where nothing moves, of both films.

    Nothing moves where the source, blurred over 31 pixels, stays within STILL levels.
    """
    films = [
        np.array([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in read(path)], np.float32)
        for path in (before, after)
    ]
    blurred = np.array([cv2.GaussianBlur(picture, (31, 31), 0) for picture in films[0]])
    still = np.abs(np.diff(blurred, axis=0)) < STILL
    values = [float(np.abs(np.diff(film, axis=0))[still].mean()) for film in films]
    print(f"{len(films[0])} pictures, {still.mean():.0%} of their area still")
    print(f"mean change from picture to picture there: {values[0]:.2f} before, {values[1]:.2f} after")


def main() -> None:
    """Do what the words ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("model", "same", "flicker"))
    parser.add_argument("films", nargs="*", type=Path)
    parser.add_argument("--frames", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    if wanted.what == "model":
        against_model(wanted.frames or 16, wanted.rounds)
    elif wanted.what == "same":
        against_ffmpeg(wanted.frames or 150, wanted.rounds)
    else:
        flicker(*wanted.films)


if __name__ == "__main__":
    main()
