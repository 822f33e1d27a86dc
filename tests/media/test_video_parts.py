"""Parts of the way of a film by themselves: the choice of an encoder, what is told of an end, the tool."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest

from drsformer_cli.errors import OutputError, SetupError, StorageError, UnsupportedError, UsageError
from drsformer_cli.media import video, video_codec, video_tool
from drsformer_cli.media.remux import make_gif
from drsformer_cli.media.video import Colour, Film, end_tag, probe
from drsformer_cli.media.video_codec import check_options, choose
from drsformer_cli.media.video_compare import compare_gif
from drsformer_cli.media.video_frames import Ending
from drsformer_cli.media.video_join import Part, join
from drsformer_cli.media.video_pixels import Pixels
from drsformer_cli.media.video_segment import Segment
from tests.media.clips import film


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Film:
    """Return a film of 96 x 64 in yuv420p."""
    return probe(film(tmp_path_factory.mktemp("film") / "a.mp4", seconds=0.2))


def said(source: Film, container: str, **options: Any) -> tuple[str, str, tuple[str, ...]]:
    encoding = choose(source, Pixels(source), container, **options)
    return encoding.codec, encoding.pixels, encoding.notes


@pytest.mark.parametrize(
    ("codec", "pixels", "container", "expected"),
    [
        ("h264", "yuv420p", "mp4", ("h264", "yuv420p")),
        ("h264", "yuv420p", "gif", ("ffv1", "bgr0")),
        ("h264", "yuv420p", "webm", ("vp9", "yuv420p")),
        ("hevc", "yuv420p", "webm", ("vp9", "yuv420p")),
        ("av1", "yuv420p", "webm", ("av1", "yuv420p")),
        ("av1", "yuv444p", "mp4", ("h265", "yuv444p")),
        ("prores", "yuv422p10le", "mp4", ("h264", "yuv422p10le")),
        ("h264", "yuv422p12le", "mp4", ("h265", "yuv422p12le")),
        ("mjpeg", "yuv440p", "mp4", ("h264", "yuv444p")),
        ("rawvideo", "yuv411p", "mp4", ("h264", "yuv422p")),
        ("rawvideo", "gray", "mp4", ("h264", "gray")),
        ("rawvideo", "gbrp", "mp4", ("h264", "yuv444p")),
    ],
)
def test_the_nearest_encoder_and_pixels(
    plain: Film, codec: str, pixels: str, container: str, expected: tuple[str, str]
) -> None:
    source = replace(plain, track=replace(plain.track, codec=codec), pixels=pixels)
    if container == "gif":
        source = replace(source, pixels="bgr0")
    assert said(source, container)[:2] == expected


@pytest.mark.parametrize(
    ("format", "alpha", "container", "gif", "expected"),
    [
        ("gray10le", False, "mp4", False, ["gray", "yuv420p"]),
        ("gbrp", False, "gif", False, ["bgr0", "yuv444p"]),
        ("gbrap", True, "gif", False, ["bgra", "yuva444p"]),
        ("gbrap", True, "webm", True, ["yuva420p", "yuva444p"]),
        ("gbrap", True, "matroska", False, ["gbrap", "yuva444p", "yuva420p"]),
        ("gbrp", False, "mp4", False, ["gbrp", "yuv444p", "yuv420p"]),
        ("yuv420p", False, "mp4", False, ["yuv420p", "yuv422p", "yuv440p", "yuv444p"]),
        ("yuv422p", False, "mp4", False, ["yuv422p", "yuv440p", "yuv444p", "yuv420p"]),
        ("yuva444p", True, "mp4", False, ["yuva444p", "yuva440p", "yuva422p", "yuva420p"]),
        ("yuv411p", False, "mp4", False, ["yuv422p", "yuv440p", "yuv444p", "yuv420p"]),
    ],
)
def test_layouts_that_hold_the_most_come_first(
    format: str, alpha: bool, container: str, gif: bool, expected: list[str]
) -> None:
    assert video_codec._wider(format, alpha, container, gif=gif) == expected


@pytest.mark.parametrize(
    ("codec", "flags", "words"),
    [
        ("h264", {"flags": "+ildct+ilme", "field_order": "tt", "x264-params": "mbtree=0:tff=1"}, 1),
        ("ffv1", {"flags": "+ildct+ilme", "field_order": "tt"}, 1),
        ("vp9", {}, 2),
    ],
)
def test_fields_are_said_where_an_encoder_knows_them(
    plain: Film, codec: str, flags: dict[str, str], words: int
) -> None:
    for fields, top in (("top first", True), ("interlaced", True), ("bottom first", False)):
        notes: list[str] = []
        options = video_codec._picture_options(replace(plain, fields=fields), codec, "yuv420p", notes)
        expected = {
            key: value if top else value.replace("tff", "bff").replace("tt", "bb")
            for key, value in flags.items()
        }
        assert {key: options.get(key) for key in expected} == expected
        assert len([note for note in notes if note.startswith("interlaced: ")]) == words


def test_high_dynamic_range_is_told_of(plain: Film) -> None:
    bright = replace(plain, colour=Colour(9, 16, 9, 1), light={"mastering": bytes(88)})
    notes: list[str] = []
    video_codec._picture_options(bright, "vp9", "yuv420p10le", notes)
    assert notes == [
        "HDR mastering data dropped: they cannot be given to vp9 here",
        "HDR: the values are restored in their own transfer curve, and stay tagged with it",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("prores", 10, None), "--crf does not go with --codec prores"),
        (("av1", 64, None), "--crf 64 is too much for av1: give a number from 0 to 63"),
        (("ffv1", None, "fast"), "--preset fast is not known to ffv1: leave it out"),
        (("h264", None, "swift"), "--preset swift is not known to h264: give one of ultrafast"),
    ],
)
def test_options_that_a_codec_does_not_have(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_options(*arguments)
    check_options("h264", 51, "slow")


def test_sides_that_no_encoder_takes(plain: Film) -> None:
    huge = replace(plain, width=70_000, height=70_000)
    with pytest.raises(
        UnsupportedError, match=r"a\.mp4: libx264 does not take yuv420p pictures of 70000 x 70000"
    ):
        choose(huge, Pixels(plain), "mp4")


def test_an_end_in_words() -> None:
    assert Ending().notes(10, 0, 100) == []
    assert Ending(early=True).notes(10, 0, None) == ["the source ends early"]
    assert Ending(early=True).notes(10, 0, 25) == ["the source ends early: 10 of about 25 pictures"]
    assert Ending(early=True).notes(25, 0, 25) == ["the source ends early"]
    damaged = ["the source is damaged on the way: 90 of about 100 pictures"]
    assert Ending(even=True).notes(90, 0, 100) == damaged
    assert Ending(even=True).notes(90, 8, 100) == []  # those that were lost are told by themselves
    assert Ending(even=True).notes(98, 0, 100) == []
    assert Ending(even=True).notes(97, 0, 100) != []
    assert Ending(even=True).notes(979, 0, 1000) != []
    assert Ending(even=True).notes(980, 0, 1000) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:01:02.500000000", Fraction(125, 2)),
        ("10:00:00", Fraction(36000)),
        ("", None),
        ("a:b:c", None),
        ("1:2", None),
    ],
)
def test_the_end_that_matroska_notes(text: str, seconds: Fraction | None) -> None:
    assert end_tag(SimpleNamespace(metadata={"DURATION": text})) == seconds
    assert end_tag(SimpleNamespace(metadata={})) is None


def side(name: str, content: bytes = b"") -> Any:
    class Side(bytes):
        type = SimpleNamespace(name=name)

    return Side(content)


def test_what_lies_beside_the_pictures_is_told_of() -> None:
    frame = SimpleNamespace(side_data=[side("DOVI_METADATA"), side("DYNAMIC_HDR_PLUS"), side("A53_CC")])
    words = list(video._cautions(frame, (0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30)))
    assert [word.split()[0] for word in words] == ["Dolby", "HDR10+", "closed"]
    skewed = (20_000, 0, 0, 0, 20_000, 0, 0, 0, 1 << 30)
    assert list(video._cautions(SimpleNamespace(side_data=[]), skewed)) == [
        "a rotation that is no quarter turn: the pictures are restored as they are stored"
    ]
    assert list(video._cautions(SimpleNamespace(side_data=[]), None)) == []
    light = [
        side("CONTENT_LIGHT_LEVEL", b"12"),
        side("MASTERING_DISPLAY_METADATA", b"34"),
        side("A53_CC", b"5"),
    ]
    assert video._light(SimpleNamespace(side_data=light)) == {"content": b"12", "mastering": b"34"}


def test_a_read_error_is_told_with_its_file() -> None:
    with pytest.raises(OSError, match="Input/output error") as caught:
        video_tool.raise_fault(OSError(errno.EIO, "Input/output error"), Path("a.mp4"))
    assert caught.value.filename == "a.mp4"
    video_tool.raise_fault(ValueError("no end"), Path("a.mp4"))
    video_tool.raise_fault(OSError(-541478725, "End of file"), Path("a.mp4"))


def test_the_tool_says_the_last_of_what_went_wrong(tmp_path: Path) -> None:
    with pytest.raises(video_tool.ToolError, match="No such file or directory"):
        video_tool.run_tool(["-i", str(tmp_path / "gone.mp4"), str(tmp_path / "b.mp4")], tmp_path / "b.mp4")


@pytest.mark.skipif(os.name == "nt", reason="a script of POSIX's shell")
@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ("echo first >&2; echo last >&2; echo >&2; exit 3", video_tool.ToolError, "^last$"),
        ("exit 3", video_tool.ToolError, "ffmpeg ended with 3"),
        ("echo 'write: No space left on device' >&2", StorageError, r"the disk is full: b\.mp4 could not"),
        ("echo 'Disk quota exceeded' >&2; exit 1", StorageError, r"the disk is full: b\.mp4 could not"),
    ],
)
def test_a_tool_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, error: type[Exception], words: str
) -> None:
    tool = tmp_path / "ffmpeg"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv(video_tool.VARIABLE, str(tool))
    video_tool.ffmpeg.cache_clear()
    try:
        with pytest.raises(error, match=words):
            video_tool.run_tool([], Path("b.mp4"))
    finally:
        video_tool.ffmpeg.cache_clear()


def test_ffmpeg_on_the_path_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise RuntimeError("no binary for this system")

    monkeypatch.delenv(video_tool.VARIABLE, raising=False)
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", none)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    video_tool.ffmpeg.cache_clear()
    try:
        assert video_tool.ffmpeg() == "/usr/bin/ffmpeg"
        video_tool.ffmpeg.cache_clear()
        monkeypatch.setattr("shutil.which", lambda _: None)
        with pytest.raises(SetupError, match="ffmpeg is not here: pip install imageio-ffmpeg"):
            video_tool.ffmpeg()
    finally:
        video_tool.ffmpeg.cache_clear()


def test_pictures_of_a_gif_are_counted(tmp_path: Path) -> None:
    pictures = film(tmp_path / "a.mkv", "-c:v", "ffv1", "-pix_fmt", "bgr0", seconds=0.2)
    make_gif(pictures, tmp_path / "a.gif", tmp_path)
    assert compare_gif(tmp_path / "a.gif", 5) == []
    assert compare_gif(tmp_path / "a.gif", 6) == ["5 pictures instead of 6"]
    with pytest.raises(OutputError, match=r"^b\.gif could not be put together \(ffmpeg: "):
        make_gif(tmp_path / "gone.mkv", tmp_path / "b.gif", tmp_path)


def test_a_join_that_finds_no_room_says_so(tmp_path: Path) -> None:
    part = Part(film(tmp_path / "a.mp4", seconds=0.2), [0, 512, 1024, 1536, 2048], [0, 1, 2, 3, 4])
    target = tmp_path / "nowhere" / "b.mp4"
    with pytest.raises(StorageError, match=r"b\.mp4 could not be written \(No such file or directory\)"):
        join([part], target, vessel="mp4", time_base=Fraction(1, 12800), last=512)


def test_each_picture_is_shown_until_the_next(tmp_path: Path) -> None:
    """Also where they come at odd times, and in another order than they are decoded."""
    source = film(tmp_path / "a.mkv", "-c:v", "libx264", "-bf", "3", "-threads", "1", seconds=0.4)
    with av.open(str(source)) as file:
        stamps = [packet.pts for packet in file.demux(video=0) if packet.pts is not None]
    order = [sorted(stamps).index(stamp) for stamp in stamps]
    assert order != sorted(order)
    times = [0, 40, 50, 140, 180, 380, 387, 420, 460, 501]
    join(
        [Part(source, times, order)],
        tmp_path / "b.mkv",
        vessel="matroska",
        time_base=Fraction(1, 1000),
        last=7,
    )
    with av.open(str(tmp_path / "b.mkv")) as file:
        shown = {packet.pts: packet.duration for packet in file.demux(video=0) if packet.size}
    assert shown == dict(zip(times, [40, 10, 90, 40, 200, 7, 33, 40, 41, 7], strict=True))


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="this system has no such priorities")
def test_no_encoder_keeps_a_priority_of_its_own(plain: Film) -> None:
    """SVT-AV1 takes a real-time one where it may, as root: then nothing else would run beside it."""
    before = os.sched_getscheduler(0)
    encoding = choose(plain, Pixels(plain), "matroska", codec="av1")
    assert encoding.library == "libsvtav1"
    segment = Segment(plain, encoding)
    segment.add(av.VideoFrame(plain.width, plain.height, encoding.pixels), 0)
    threads = [int(thread.name) for thread in Path("/proc/self/task").iterdir()]
    assert {os.sched_getscheduler(thread) for thread in threads} == {before}
    assert segment.finish()
