"""One closed segment of pictures: encoded are the colours that were given."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from drsformer_cli.media.video import Film, probe
from drsformer_cli.media.video_codec import Encoding
from drsformer_cli.media.video_pixels import plane_of
from drsformer_cli.media.video_segment import Segment
from tests.media.clips import film


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Film:
    """Return a film of 96 x 64, of which the size and the time base are of use here."""
    return probe(film(tmp_path_factory.mktemp("film") / "a.mp4", seconds=0.2))


def flat(pixels: str, *values: int) -> Any:
    frame = av.VideoFrame(96, 64, pixels)
    for index, value in enumerate(values):
        plane_of(frame, index)[:] = value
    return frame


#: Pure red (planes are green, blue, red) in limited range, as BT.601 and BT.709 have it.
RED = {5: (81, 90, 240), 1: (63, 102, 240)}


@pytest.mark.parametrize("matrix", list(RED))
def test_colours_are_those_of_the_matrix_that_is_told(plain: Film, matrix: int) -> None:
    encoding = Encoding("h264", "libx264", "yuv444p", {"crf": "1"}, (matrix, matrix, matrix, 1))
    segment = Segment(plain, encoding)
    for pts in (700, 712, 1000):
        segment.add(flat("gbrp", 0, 0, 255), pts)
    data = segment.finish()
    with av.open(BytesIO(data)) as file:
        frames = list(file.decode(video=0))
    assert len(frames) == 3
    for frame in frames:
        assert frame.format.name == "yuv444p"
        assert np.allclose([plane_of(frame, index).mean() for index in range(3)], RED[matrix], atol=1)


def test_what_has_the_layout_already_is_not_touched(plain: Film, tmp_path: Path) -> None:
    encoding = Encoding("ffv1", "ffv1", "yuv420p", {}, (1, 1, 1, 2))
    segment = Segment(plain, encoding)
    drawn = np.random.default_rng(5).integers(0, 256, (64, 96), np.uint8)
    frame = flat("yuv420p", 0, 3, 250)
    plane_of(frame, 0)[:] = drawn
    segment.add(frame, 5)
    (tmp_path / "a.mkv").write_bytes(segment.finish())
    assert segment.order == [0]
    with av.open(str(tmp_path / "a.mkv")) as file:
        (seen,) = file.decode(video=0)
    assert (plane_of(seen, 0) == drawn).all()
    assert [set(plane_of(seen, index).flat) for index in (1, 2)] == [{3}, {250}]
