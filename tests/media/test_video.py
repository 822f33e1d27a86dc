"""What a film is, and what is none."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from drsformer_cli.errors import SetupError, UnreadableError, UnsupportedError, UsageError
from drsformer_cli.media import video_tool
from drsformer_cli.media.video import probe
from drsformer_cli.media.video_codec import choose, container_of
from drsformer_cli.media.video_frames import ChangedError, Known, shots
from drsformer_cli.media.video_join import decoding_times, reorder_depth
from drsformer_cli.media.video_pixels import Pixels
from tests.media.clips import CLIPS, X264, cut_in, film, pattern, run, shown, tone, variable


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    with pytest.raises(UnreadableError, match=r"empty.mp4 is empty \(0 bytes\)"):
        probe(path)


def test_sound_alone(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    run(*tone(), "-c:a", "aac", path)
    with pytest.raises(UnsupportedError, match="holds sound only"):
        probe(path)


def test_something_else(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("no film at all " * 100)
    with pytest.raises(UnreadableError, match="is no film"):
        probe(path)


def test_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.new("RGB", (32, 32)).save(path)
    with pytest.raises(UnsupportedError, match="single picture"):
        probe(path)


def test_an_encrypted_film(tmp_path: Path) -> None:
    path = tmp_path / "secret.mp4"
    key = "00112233445566778899aabbccddeeff"
    words = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", key, "-encryption_kid", key]
    run(*pattern(), *X264, *words, path)
    with pytest.raises(UnsupportedError, match="encrypted"):
        probe(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        probe(tmp_path / "none.mp4")


def test_a_film_is_read(tmp_path: Path) -> None:
    found = probe(CLIPS["anamorphic.mp4"](tmp_path / "a.mp4"))
    assert (found.width, found.height, found.pixels, found.aspect) == (96, 64, "yuv420p", Fraction(16, 11))
    assert (found.frames, found.rate, found.seconds) == (25, 25, 1.0)
    assert found.track.words == "picture track 0 (h264)"


@pytest.mark.parametrize("stop", [20, 130, 180, 199])
def test_reading_goes_on_where_it_stopped(tmp_path: Path, stop: int) -> None:
    path = film(tmp_path / "a.mp4", *X264, "-bf", "3", "-g", "30", seconds=8)
    source = probe(path)
    pixels = Pixels(source)
    seen = [(one.index, one.pts, one.digest) for one in shots(source, pixels)]
    known = [Known(pts, digest) for _, pts, digest in seen[:stop]][-64:]
    assert [
        (one.index, one.pts, one.digest) for one in shots(source, pixels, known=known, count=stop)
    ] == seen[stop:]
    wrong = [*known[:-1], Known(known[-1].pts, "0" * 16)]
    with pytest.raises(ChangedError):
        list(shots(source, pixels, known=wrong, count=stop))


def test_a_stretch(tmp_path: Path) -> None:
    path = variable(tmp_path / "a.mp4")
    source = probe(path)
    start, end = Fraction(3, 10), Fraction(7, 10)
    found = [one.pts * source.time_base for one in shots(source, Pixels(source), start=start, end=end)]
    assert found == [time for time in shown(path) if start <= time < end]


def test_an_edit_list_hides_pictures(tmp_path: Path) -> None:
    path = cut_in(tmp_path / "a.mp4")
    source = probe(path)
    assert [one.pts * source.time_base for one in shots(source, Pixels(source))] == shown(path)


def test_decoding_times_rise_and_are_never_late() -> None:
    times = [0, 7, 50, 51, 90, 200]
    order = [0, 3, 1, 2, 5, 4]
    depth = reorder_depth(order)
    dts = decoding_times(times, depth)
    assert depth == 1
    assert all(a < b for a, b in pairwise(dts))
    assert all(when <= times[number] for when, number in zip(dts, order, strict=True))
    assert decoding_times([5], 3) == [2]


def test_encoding_stays_near_the_source(tmp_path: Path) -> None:
    wanted = {
        "tens.mp4": ("h264", "yuv420p10le"),
        "hevc10.mp4": ("h265", "yuv420p10le"),
        "alpha.webm": ("vp9", "yuva420p"),
        "prores.mov": ("prores", "yuv422p10le"),
        "lossless.mkv": ("ffv1", "yuv422p10le"),
        "twelve.mkv": ("h265", "yuv422p12le"),
    }
    for name, expected in wanted.items():
        source = probe(CLIPS[name](tmp_path / name))
        encoding = choose(source, Pixels(source), container_of(Path(name)))
        assert (encoding.codec, encoding.pixels) == expected
        assert not encoding.notes


def test_encoding_says_what_it_loses(tmp_path: Path) -> None:
    source = probe(CLIPS["alpha.webm"](tmp_path / "a.webm"))
    pixels = Pixels(source)
    assert "alpha dropped" in choose(source, pixels, "mp4").notes[0]
    deep = probe(CLIPS["twelve.mkv"](tmp_path / "b.mkv"))
    encoding = choose(deep, Pixels(deep), "mp4", codec="h264")
    assert encoding.pixels == "yuv422p10le"
    assert "12 bits become 10" in encoding.notes[0]
    with pytest.raises(UsageError, match="--codec h264 does not go into webm"):
        choose(source, pixels, "webm", codec="h264")
    with pytest.raises(UsageError, match="--crf 60 is too much for h264"):
        choose(source, pixels, "mp4", codec="h264", crf=60)
    with pytest.raises(UsageError, match="--preset 3 is not known to h264"):
        choose(source, pixels, "mp4", codec="h264", preset="3")
    with pytest.raises(UsageError, match="cannot be written"):
        container_of(Path("a.avi"))


def test_ffmpeg_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    video_tool.ffmpeg.cache_clear()
    monkeypatch.setenv(video_tool.VARIABLE, "/nowhere/ffmpeg")
    with pytest.raises(SetupError, match="is no program"):
        video_tool.ffmpeg()
    monkeypatch.delenv(video_tool.VARIABLE)
    assert video_tool.ffmpeg()
    video_tool.ffmpeg.cache_clear()


def test_pictures_in_a_codec_that_nobody_knows(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mkv", *X264, seconds=0.2)
    data = source.read_bytes()
    assert data.count(b"V_MPEG4/ISO/AVC") == 1
    source.write_bytes(data.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/ZZZ"))
    with pytest.raises(UnsupportedError, match=r"a\.mkv has pictures in a codec that is not known here"):
        probe(source)


def test_a_film_of_which_nothing_can_be_decoded(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", *X264, seconds=0.2)
    data = source.read_bytes()
    at = data.index(b"mdat") + 4
    size = int.from_bytes(data[at - 8 : at - 4], "big") - 8
    source.write_bytes(data[:at] + b"\xff" * size + data[at + size :])
    with pytest.raises(
        UnreadableError, match=r"a\.mp4 is damaged: none of its first pictures can be decoded"
    ):
        probe(source)
