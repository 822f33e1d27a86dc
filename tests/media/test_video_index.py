"""Times read off packets, and films that are entered where they say."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from drsformer_cli.media import video_index
from drsformer_cli.media.video import probe
from drsformer_cli.media.video_frames import RUN_UP, ChangedError, Ending, Known, shots
from drsformer_cli.media.video_index import times_of
from drsformer_cli.media.video_pixels import Pixels
from tests.media.clips import CLIPS, X264, film

TOLD = ("variable.mkv", "bframes.mp4", "editlist.mp4", "noduration.webm", "fragmented.mp4", "prores.mov")


@pytest.mark.parametrize("name", TOLD)
def test_packets_tell_what_is_decoded(name: str, tmp_path: Path) -> None:
    found = probe(CLIPS[name](tmp_path / name))
    assert times_of(found) == [shot.pts for shot in shots(found, Pixels(found))]
    start, end = Fraction(1, 5), Fraction(3, 5)
    cut = [shot.pts for shot in shots(found, Pixels(found), start=start, end=end)]
    assert cut
    assert times_of(found, start=start, end=end) == cut


def test_packets_that_do_not_tell(tmp_path: Path) -> None:
    whole = film(tmp_path / "whole.ts", *X264, "-bf", 2)
    (tmp_path / "twice.ts").write_bytes(2 * whole.read_bytes())
    assert times_of(probe(tmp_path / "twice.ts")) is None


def test_packets_that_tell_what_is_not_decoded(tmp_path: Path) -> None:
    """AVI has times of decoding alone."""
    found = probe(film(tmp_path / "a.avi", *X264, "-bf", 2))
    assert times_of(found) != [shot.pts for shot in shots(found, Pixels(found))]


def test_a_film_is_entered_by_times_alone(tmp_path: Path) -> None:
    found = probe(film(tmp_path / "a.mp4", *X264, "-bf", 3, "-g", 40, seconds=10))
    times = times_of(found)
    assert times is not None
    whole = list(shots(found, Pixels(found)))
    known = [Known(time) for time in times[200 - RUN_UP : 200]]
    ending = Ending()
    rest = list(shots(found, Pixels(found), known=known, count=200, ending=ending, only_there=True))
    assert [(one.index, one.pts, one.digest, one.repeated) for one in rest] == [
        (one.index, one.pts, one.digest, one.repeated) for one in whole[200:]
    ]
    assert ending.count == 250
    wrong = [*known[:-1], Known(known[-1].pts + 1)]
    with pytest.raises(ChangedError):
        list(shots(found, Pixels(found), known=wrong, count=200, only_there=True))


class Ends:
    """A film whose packets end with an error in the middle."""

    streams = (None,)

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def demux(self, _stream: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(size=1, is_discard=False, pts=0, dts=0)
        raise self.error


def test_a_disk_that_fails_is_told_and_damage_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = probe(film(tmp_path / "a.mp4", *X264, seconds=0.2))
    faults: list[Exception] = [
        av.error.OSError(errno.EIO, "Input/output error", "a.mp4"),
        av.error.InvalidDataError(-1094995529, "Invalid data found", "a.mp4"),
    ]
    monkeypatch.setattr(video_index.av, "open", lambda *_, **__: Ends(faults.pop(0)))
    with pytest.raises(OSError, match="Input/output error") as caught:
        times_of(found)
    assert caught.value.filename == str(tmp_path / "a.mp4")
    assert times_of(found) is None
