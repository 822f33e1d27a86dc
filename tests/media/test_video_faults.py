"""What of a film is easily lost: colours, the end, tracks that break off, a turn that is no quarter."""

from __future__ import annotations

import errno
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from drsformer_cli.errors import UnsupportedError
from drsformer_cli.jobs.events import Failed
from drsformer_cli.jobs.film_plan import Wish
from drsformer_cli.jobs.film_work import Work
from drsformer_cli.media import video_frames, video_tracks
from drsformer_cli.media.sniff import refusal
from drsformer_cli.media.video import probe
from drsformer_cli.media.video_codec import Encoding, choose
from drsformer_cli.media.video_frames import Ending, shots
from drsformer_cli.media.video_pixels import Pixels, plane_of
from drsformer_cli.media.video_segment import reformatted
from tests.jobs.films import Negative, Same, events_of, restore
from tests.media.clips import X264, covered, fragmented, pattern, pictures, run, shown, tone
from tests.media.clips import film as make_film


def flat(pixels: str, values: tuple[int, ...]) -> Any:
    frame = av.VideoFrame(64, 48, pixels)
    for index, value in zip(range(len(frame.planes)), values, strict=False):
        plane_of(frame, index)[:] = value
    return frame


@pytest.mark.parametrize("range_", [0, 1, 2])
@pytest.mark.parametrize("matrix", [1, 2, 6, 9])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("yuv422p", "yuv420p"),
        ("yuv420p", "yuv444p"),
        ("yuv444p", "yuv420p"),
        ("yuv411p", "yuv422p"),
        ("gray", "yuv420p"),
    ],
)
def test_another_layout_keeps_the_colours(before: str, after: str, matrix: int, range_: int) -> None:
    encoding = Encoding("h264", "libx264", after, {}, (2, 2, matrix, range_))
    values = (91, 101, 186)
    there = reformatted(flat(before, values), encoding)
    expected = (91, 128, 128) if before == "gray" else values
    assert there.format.name == after
    assert [set(plane_of(there, index).flat) for index in range(3)] == [{value} for value in expected]


def test_a_smaller_layout_keeps_the_colours_of_a_film(tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    colour = "format=yuv422p,geq=lum=91:cb=101:cr=186,setparams=colorspace=bt709:range=tv"
    run(*pattern(0.2), "-vf", colour, *X264, "-crf", 1, source)
    done = restore(source, tmp_path / "b.mp4", Same(), Wish(codec="av1", crf=1))
    assert done.plan.encoding.pixels == "yuv420p"
    with av.open(str(tmp_path / "b.mp4")) as container:
        frame = next(container.decode(video=0))
        means = [plane_of(frame, index).mean() for index in range(3)]
    assert np.allclose(means, (91, 101, 186), atol=1)


def read(path: Path) -> tuple[int, list[str]]:
    source, ending = probe(path), Ending()
    count = sum(1 for _ in shots(source, Pixels(source), ending=ending))
    return count, ending.notes(count, ending.lost, source.frames)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "flv"])
def test_a_film_that_is_cut_short_is_said_to_be(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole.{suffix}"
    run(*pattern(4), *X264, *(["-movflags", "+faststart"] if suffix == "mp4" else []), whole)
    count, notes = read(whole)
    assert (count, notes) == (100, [])
    data = whole.read_bytes()
    short = tmp_path / f"short.{suffix}"
    short.write_bytes(data[: len(data) // 2])
    count, notes = read(short)
    assert 0 < count < 90
    assert len(notes) == 1
    assert notes[0].startswith(f"the source ends early: {count} of about 10")
    done = restore(short, tmp_path / "out.mkv", Negative())
    assert notes[0] in done.record.notes


def test_a_hole_in_a_film_is_told(tmp_path: Path) -> None:
    whole, damaged = tmp_path / "a.mkv", tmp_path / "b.mkv"
    run(*pattern(4), *tone(seconds=5), *X264, "-c:a", "aac", whole)
    assert read(whole)[1] == []
    data = bytearray(whole.read_bytes())
    half, hole = len(data) // 2, len(data) // 6
    data[half : half + hole] = bytes(hole)
    damaged.write_bytes(data)
    count, notes = read(damaged)
    assert count < 100
    assert len(notes) == 1
    assert "the source " in notes[0]


@pytest.mark.parametrize("maker", [fragmented])
def test_whole_films_have_no_such_note(tmp_path: Path, maker: Any) -> None:
    assert read(maker(tmp_path / "a.mp4"))[1] == []


def test_what_cannot_be_decoded_at_the_end_is_counted(tmp_path: Path) -> None:
    """The last packets are no H.264."""
    source, path = make_film(tmp_path / "a.mkv", *X264, "-g", "5", "-bf", "0", seconds=1), tmp_path / "b.mkv"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        track = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(one for one in old.demux() if one.size):
            if number >= 20:
                wrong = av.Packet(b"\x00\x00\x00\x40" + b"\xff" * 8)
                wrong.pts, wrong.dts, wrong.time_base = packet.pts, packet.dts, packet.time_base
                packet = wrong
            packet.stream = track
            new.mux(packet)
    done = restore(path, tmp_path / "out.mkv", Negative())
    assert done.sums.pictures == 20
    assert any("that could not be decoded left out" in note for note in done.record.notes)


def test_a_read_error_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_film(tmp_path / "a.mp4", seconds=1)

    class Broken:
        def __init__(self, container: Any) -> None:
            self.container = container

        def __enter__(self) -> Any:
            self.container.__enter__()
            return self

        def __exit__(self, *words: Any) -> Any:
            return self.container.__exit__(*words)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.container, name)

        def demux(self, *words: Any) -> Any:
            for number, packet in enumerate(self.container.demux(*words)):
                if number == 15:
                    raise av.error.OSError(errno.EIO, "Input/output error", str(path))
                yield packet

    class Opener:
        error = av.error

        @staticmethod
        def open(*words: Any, **options: Any) -> Any:
            return Broken(av.open(*words, **options))

        time_base = av.time_base

    monkeypatch.setattr(video_frames, "av", Opener)
    last = events_of(path, tmp_path / "out.mp4", Negative())[-1]
    assert isinstance(last, Failed)
    assert "put/output error" in last.reason
    assert not (tmp_path / "out.mp4").exists()


def transport(path: Path, seconds: float = 4) -> Path:
    run(*pattern(seconds), *tone(seconds=seconds), *X264, "-g", 25, "-c:a", "aac", path)
    return path


def test_sound_of_a_transport_stream_is_no_false_alarm(tmp_path: Path) -> None:
    done = restore(transport(tmp_path / "a.ts"), tmp_path / "out.mkv", Negative())
    assert not any("packets" in note for note in done.record.notes)


def test_sound_that_cannot_be_copied_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = transport(tmp_path / "a.ts")
    data = bytearray(path.read_bytes())
    audio = [
        place for place in range(0, len(data), 188) if (data[place + 1] & 0x1F, data[place + 2]) == (1, 1)
    ]
    for place in audio[len(audio) // 2 :][:20]:
        if not data[place + 1] & 0x40:  # within a packet
            data[place + 20 : place + 188] = bytes(168)
        else:
            data[place + 40 : place + 188] = b"\x55" * 148
    path.write_bytes(data)
    places: list[Any] = []

    class Noted(tempfile.TemporaryDirectory[str]):
        def __init__(self, *, prefix: str, dir: Path | None) -> None:
            places.append(dir)
            super().__init__(prefix=prefix, dir=dir)

    monkeypatch.setattr(video_tracks.tempfile, "TemporaryDirectory", Noted)
    done = restore(path, tmp_path / "out.mkv", Negative())
    assert done.sums.pictures == 100
    assert "audio track 1 (aac) becomes FLAC: it is damaged, and cannot be copied" in done.record.notes
    assert [track.codec for track in probe(tmp_path / "out.mkv").tracks] == ["h264", "flac"]
    work = Work(tmp_path / "out.mkv").folder
    assert places == [None, work, work]  # it is large, and /tmp may be small


def test_cover_art_of_one_container_is_an_attachment_of_another(tmp_path: Path) -> None:
    restore(covered(tmp_path / "a.mp4"), tmp_path / "out.mkv", Negative())
    _, cover = probe(tmp_path / "out.mkv").tracks
    assert (cover.codec, cover.cover, cover.metadata["filename"]) == ("mjpeg", True, "cover.jpg")
    assert not Work(tmp_path / "out.mkv").folder.exists()


def test_a_cut_begins_at_once_in_all_tracks(tmp_path: Path) -> None:
    path = transport(tmp_path / "a.ts")
    source = probe(path)
    with av.open(str(path)) as container:
        begin = Fraction(container.start_time, 10**6)
    assert source.start is not None
    assert source.ahead == source.start * source.time_base - begin
    late = tmp_path / "late.ts"
    run("-i", path, "-itsoffset", "-0.6", "-i", path, "-map", "0:v", "-map", "1:a", "-c", "copy", late)
    assert probe(late).ahead > Fraction(1, 2)
    done = restore(late, tmp_path / "out.mkv", Negative(), Wish(start=Fraction(1), end=Fraction(2)))
    assert done.sums.pictures == 25
    assert not any("packets" in note for note in done.record.notes)
    with av.open(str(tmp_path / "out.mkv")) as container:
        sound = [(packet.pts or 0) * packet.time_base for packet in container.demux(audio=0) if packet.size]
    seen = shown(tmp_path / "out.mkv")
    assert abs(sound[0] - seen[0]) < 0.06
    assert abs(sound[-1] - seen[-1]) < 0.06


@pytest.mark.parametrize("flips", [(), ("-display_hflip",)])
@pytest.mark.parametrize("degrees", [30, -100])
def test_any_rotation_is_kept(tmp_path: Path, degrees: int, flips: tuple[str, ...]) -> None:
    plain = make_film(tmp_path / "plain.mp4", seconds=0.4)
    path = tmp_path / "a.mp4"
    run("-display_rotation", degrees, *flips, "-i", plain, "-c", "copy", path)
    restore(path, tmp_path / "out.mp4", Negative())
    before, after = probe(path).matrix, probe(tmp_path / "out.mp4").matrix
    assert before is not None
    assert after is not None
    assert np.abs(np.array(before) - np.array(after)).max() <= 2


def test_a_stretch_of_a_gif_keeps_its_colours(tmp_path: Path) -> None:
    source = tmp_path / "a.gif"
    with_stripes = [Image.fromarray(stripes(number)) for number in range(6)]
    with_stripes[0].save(source, save_all=True, append_images=with_stripes[1:], duration=100, loop=0)
    read_ = probe(source)
    assert choose(read_, Pixels(read_), "gif").pixels in ("bgra", "bgr0")
    done = restore(source, tmp_path / "out.gif", Same(), Wish(start=Fraction(1, 10), end=Fraction(1, 2)))
    assert not any("becomes" in note for note in done.plan.notes)
    seen = pictures(tmp_path / "out.gif")
    assert len(seen) == 4
    assert np.abs(seen[0].astype(int) - stripes(1)).max() <= 8


def stripes(number: int) -> Any:
    """Lines of red and blue, one sample wide: 4:2:0 would mix them."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, number % 2 :: 2, 0] = 200
    picture[:, 1 - number % 2 :: 2, 2] = 200
    return picture


@pytest.mark.parametrize("suffix", ["avif", "mp4"])
def test_a_still_picture_in_boxes_is_no_film(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"p.{suffix}"
    Image.new("RGB", (64, 64), "red").save(path, format="AVIF")
    with pytest.raises(UnsupportedError, match="is a single picture"):
        probe(path)


def test_codecs_have_their_own_names(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    run(*pattern(0.4), *tone(seconds=0.4), *X264, "-c:a", "libmp3lame", path)
    assert [track.codec for track in probe(path).tracks] == ["h264", "mp3"]


def test_a_film_among_pictures_is_sent_on() -> None:
    assert "`derain video`" in str(refusal("a.mp4", "film"))


def test_a_result_in_the_place_of_its_source_names_no_other_options(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mp4", seconds=0.2)
    (failed,) = events_of(path, path, Negative())
    assert isinstance(failed, Failed)
    assert "choose another name with -o" in failed.reason
    assert "--suffix" not in failed.reason
