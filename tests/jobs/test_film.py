"""Films from end to end: what is resumed, what is repeated, what is damaged, and what stops the work."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from drsformer_cli.errors import OutputError, StorageError, UsageError
from drsformer_cli.jobs import film_finish, film_job, film_plan, film_work
from drsformer_cli.jobs.events import Failed, Skipped
from drsformer_cli.jobs.film_batch import FilmBatch
from drsformer_cli.jobs.film_events import FilmDone, FilmStarted, Progress, SegmentDone
from drsformer_cli.jobs.film_finish import rising
from drsformer_cli.jobs.film_plan import Wish, plan_film
from drsformer_cli.jobs.film_work import Work
from drsformer_cli.jobs.manifest import FILE_NAME
from drsformer_cli.media import files, video_tool
from tests.jobs.films import Negative, Same, events_of, restore, task_for
from tests.media.clips import CLIPS, X264, film, pattern, pictures, run, shown, tone, upright


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film_plan, "LEAST", 10)
    monkeypatch.setattr(film_plan, "MOST", 10)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return film(tmp_path / "clip.mp4", *X264, "-bf", "3", "-crf", "12", seconds=1.8)


class Stopping(Negative):
    """Is interrupted by Ctrl-C at one of the pictures."""

    def __init__(self, at: int, times: int = 1) -> None:
        super().__init__()
        self.at, self.left = at, times

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        if self.calls >= self.at and self.left:
            self.left -= 1
            raise KeyboardInterrupt
        return super().restore(rainy)


class Failing(Negative):
    """Cannot go on at one of the pictures."""

    def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
        if self.calls == 25:
            self.calls += 1
            raise RuntimeError("out of luck")
        return super().restore(rainy)


def work_folder(out: Path) -> Path:
    return out.parent / f".{out.name}.derain-work"


def test_a_film_is_restored_upright_and_written_as_stored(tmp_path: Path) -> None:
    """A model that blackens the upper half of what it sees blackens the upper half of what is shown."""

    class Upper(Negative):
        def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
            clean = rainy.copy()
            clean[: len(clean) // 2] = 0
            return clean, self.describe(*rainy.shape[:2])

    source = CLIPS["rotated90.mp4"](tmp_path / "a.mp4")
    restore(source, tmp_path / "b.mp4", Upper())
    seen = upright(tmp_path / "b.mp4", 96, 64)
    assert seen[:, 4:44].mean() < 12
    assert seen[:, 52:].mean() > 60


def test_colours_come_back(clip: Path, tmp_path: Path) -> None:
    restore(clip, tmp_path / "out.mp4", Same(), Wish(crf=1))
    error = np.mean((np.array(pictures(clip), float) - np.array(pictures(tmp_path / "out.mp4"))) ** 2)
    assert 10 * np.log10(255**2 / error) > 50
    restore(clip, tmp_path / "lossless.mkv", Same(), Wish(codec="ffv1"))
    assert np.array_equal(pictures(clip), pictures(tmp_path / "lossless.mkv"))


def test_events_and_manifest(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    events = events_of(clip, out, Negative())
    assert isinstance(events[0], FilmStarted)
    assert events[0].plan.frames == 45
    assert [event.pictures for event in events if isinstance(event, Progress)] == list(range(1, 46))
    assert [event.pictures for event in events if isinstance(event, SegmentDone)] == [10, 20, 30, 40, 45]
    done = events[-1]
    assert isinstance(done, FilmDone)
    record = json.loads((tmp_path / FILE_NAME).read_text().splitlines()[-1])
    assert (record["output"], record["input"]["path"]) == ("out.mp4", "clip.mp4")
    assert 0 < done.sums.seconds <= done.seconds
    assert not work_folder(out).exists()


def test_done_before_and_in_the_way(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    restore(clip, out, Negative())
    first = out.read_bytes()
    again = events_of(clip, out, Negative())
    assert [type(event) for event in again] == [Skipped]
    model = Negative()
    model.settings["memory"] = 1 << 30  # decides nothing: all was done whole
    assert [type(event) for event in events_of(clip, out, model)] == [Skipped]
    (refused,) = events_of(clip, out, Negative(), Wish(crf=30))
    assert isinstance(refused, Failed)
    assert f"{out} stands finished with other settings (crf)" in refused.reason
    (refused,) = events_of(clip, out, Negative(), Wish(start=Fraction(1)))
    assert isinstance(refused, Failed)
    assert "(cut)" in refused.reason
    assert out.read_bytes() == first
    restore(clip, out, Negative(), Wish(crf=30), overwrite=True)
    assert out.read_bytes() != first
    out.write_bytes(b"mine")
    (refused,) = events_of(clip, out, Negative())
    assert isinstance(refused, Failed)
    assert "--overwrite" in refused.reason
    assert out.read_bytes() == b"mine"
    restore(clip, out, Negative(), overwrite=True)
    assert out.read_bytes() == first
    (refused,) = events_of(clip, clip, Negative(), overwrite=True)
    assert isinstance(refused, Failed)
    assert "never overwritten" in refused.reason


def test_a_failure_leaves_its_segments_and_the_others_go_on(clip: Path, tmp_path: Path) -> None:
    other = film(tmp_path / "other.mp4")
    out = tmp_path / "out.mp4"
    batch = FilmBatch([task_for(clip, out), task_for(other, tmp_path / "b.mp4")], Failing(), Wish())
    ends = [event for event in batch if isinstance(event, (Failed, FilmDone))]
    assert [type(event) for event in ends] == [Failed, FilmDone]
    assert (work_folder(out) / "000001.segment").exists()
    assert not out.exists()
    model = Negative()
    done = restore(clip, out, model)
    assert (done.fresh, model.calls) == (25, 25)
    assert out.read_bytes() == _undisturbed(clip, tmp_path)


def _undisturbed(clip: Path, tmp_path: Path) -> bytes:
    restore(clip, tmp_path / "whole.mp4", Negative())
    return (tmp_path / "whole.mp4").read_bytes()


def test_an_interruption_ends_the_segment_where_that_is_quick(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        events_of(clip, out, Stopping(13))
    with Work(out) as work:
        assert len(work._lines()) == 3  # the head and two segments
        work.segments = [film_work.SegmentRecord(**line["segment"]) for line in work._lines()[1:]]
        assert work.count == 20
    model = Negative()
    assert restore(clip, out, model).fresh == 25
    assert out.read_bytes() == _undisturbed(clip, tmp_path)


def test_a_second_interruption_stops_at_once(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        events_of(clip, out, Stopping(13, times=2))
    assert restore(clip, out, Negative()).fresh == 35


def half_done(clip: Path, out: Path, fresh: int = 30) -> None:
    """Leave so many pictures of 45 in finished segments."""
    with pytest.raises(KeyboardInterrupt):
        events_of(clip, out, Stopping(fresh + 5, times=2))
    assert Work(out).earlier_count() == fresh


@pytest.mark.parametrize("change", ["damaged segment", "cut manifest", "times that do not rise"])
def test_what_is_not_sound_is_done_again(clip: Path, tmp_path: Path, change: str) -> None:
    out = tmp_path / "out.mp4"
    half_done(clip, out)
    folder = work_folder(out)
    if change == "damaged segment":
        data = bytearray((folder / "000001.segment").read_bytes())
        data[-9] ^= 1
        (folder / "000001.segment").write_bytes(data)
        fresh = 35
    elif change == "cut manifest":
        text = (folder / "manifest.jsonl").read_bytes()
        (folder / "manifest.jsonl").write_bytes(text[:-40])
        fresh = 25
    else:
        lines = (folder / "manifest.jsonl").read_bytes().splitlines(keepends=True)
        entry = json.loads(lines[2])["segment"]
        entry["times"][0] = json.loads(lines[1])["segment"]["times"][-1]
        lines[2] = json.dumps({"segment": entry}).encode() + b"\n"
        (folder / "manifest.jsonl").write_bytes(b"".join(lines))
        fresh = 35
    events = events_of(clip, out, Negative())
    done = events[-1]
    assert isinstance(done, FilmDone)
    assert done.fresh == fresh
    said = isinstance(events[0], FilmStarted) and any("done again" in word for word in events[0].words)
    assert said == (change != "cut manifest")
    assert out.read_bytes() == _undisturbed(clip, tmp_path)


@pytest.mark.parametrize("change", ["settings", "input", "encoder"])
def test_work_of_other_settings_is_not_thrown_away_unasked(clip: Path, tmp_path: Path, change: str) -> None:
    out = tmp_path / "out.mp4"
    half_done(clip, out)
    model, wish, reason, original = Negative(), Wish(), "with other settings (model)", clip.read_bytes()
    if change == "settings":
        model.settings = {"model": "another"}
    elif change == "input":
        clip.write_bytes(original + b"\0\0\0\x08free")
        reason = "the input has changed since"
    else:
        wish, reason = Wish(crf=20), "with other settings (crf)"
    (refused,) = events_of(clip, out, model, wish)
    assert isinstance(refused, Failed)
    assert f"30 pictures of {out} were restored by an earlier run" in refused.reason
    assert reason in refused.reason
    assert "--overwrite" in refused.reason
    clip.write_bytes(original)  # touched, but with the bytes it had
    assert restore(clip, out, Negative()).fresh == 15
    half_done(clip, tmp_path / "anew.mp4")
    assert restore(clip, tmp_path / "anew.mp4", Negative(), Wish(crf=20), overwrite=True).fresh == 45


def test_memory_that_decides_nothing_does_not_stop_the_work(clip: Path, tmp_path: Path) -> None:
    class Less(Negative):
        def describe(self, height: int, width: int) -> dict[str, Any]:
            return {**super().describe(height, width), "limit": 0, "memory": 7}

    out = tmp_path / "out.mp4"
    half_done(clip, out)
    model = Less()
    model.settings["memory"] = 100
    assert restore(clip, out, model).fresh == 15


def test_a_finished_film_does_not_sweep_the_work_of_others(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    restore(clip, out, Negative())
    with pytest.raises(KeyboardInterrupt):
        events_of(clip, out, Stopping(35, times=2), Wish(crf=20), overwrite=True)
    assert [type(event) for event in events_of(clip, out, Negative())] == [Skipped]
    assert restore(clip, out, Negative(), Wish(crf=20), overwrite=True).fresh == 15


@pytest.mark.parametrize("step", ["identity_of", "describe", "sha256_of"])
def test_a_resumption_that_fails_early_keeps_the_segments(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    out, model = tmp_path / "out.mp4", Negative()
    half_done(clip, out)
    with monkeypatch.context() as patch:
        place: Any = {"identity_of": film_job, "describe": model, "sha256_of": film_work}[step]
        patch.setattr(place, step, stop)
        with pytest.raises(KeyboardInterrupt):
            events_of(clip, out, model)
    assert restore(clip, out, Negative()).fresh == 15


def test_a_plan_that_changed_goes_on_as_the_earlier_one(clip: Path, tmp_path: Path) -> None:
    class Tiled(Stopping):
        limit = 1

        def go_on_as(self, plan: Any) -> None:
            self.limit = plan["limit"]

        def describe(self, height: int, width: int) -> dict[str, Any]:
            return {**super().describe(height, width), "whole": False, "limit": self.limit}

    out = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        events_of(clip, out, Tiled(25, times=2))
    model = Tiled(0, times=0)
    model.limit = 2
    assert restore(clip, out, model).fresh == 25  # it was told the earlier limit
    assert model.limit == 1


def test_a_film_that_does_not_show_its_pictures_again(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    half_done(clip, out)
    manifest = work_folder(out) / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    entry = json.loads(lines[-1])["segment"]
    entry["digests"][-1] = "0" * 16
    manifest.write_text("".join(lines[:-1]) + json.dumps({"segment": entry}) + "\n")
    started = [event for event in events_of(clip, out, Negative()) if isinstance(event, FilmStarted)]
    assert [event.earlier for event in started] == [30, 0]
    assert any("does not show again the 30 pictures" in word for word in started[1].words)


def test_a_source_replaced_on_the_way(clip: Path, tmp_path: Path) -> None:
    out, original = tmp_path / "out.mp4", clip.read_bytes()

    class Replacing(Negative):
        def restore(self, rainy: NDArray[Any]) -> tuple[NDArray[Any], dict[str, Any]]:
            if self.calls == 20:
                other = clip.with_name("other.mp4")
                other.write_bytes(original + b"\0\0\0\x08free")
                other.replace(clip)
            return super().restore(rainy)

    failed = events_of(clip, out, Replacing())[-1]
    assert isinstance(failed, Failed)
    assert "was changed while it was restored" in failed.reason
    assert not out.exists()
    clip.write_bytes(original)
    done = restore(clip, out, Negative())
    assert done.fresh in (25, 35)  # what was finished after that is of nobody knows which film
    assert done.sums.pictures == 45


def test_segments_that_do_not_go_together_are_dropped(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise av.error.ArgumentError(22, "Invalid argument", "pictures")

    out = tmp_path / "out.mp4"
    with monkeypatch.context() as patch:
        patch.setattr(film_finish, "join", fail)
        failed = events_of(clip, out, Negative())[-1]
    assert isinstance(failed, Failed)
    assert "do not go together" in failed.reason
    assert restore(clip, out, Negative()).fresh == 45


def test_two_runs_at_once(clip: Path, tmp_path: Path) -> None:
    with Work(tmp_path / "out.mp4"):
        (failed,) = events_of(clip, tmp_path / "out.mp4", Negative())
    assert isinstance(failed, Failed)
    assert re.match(r"another run of derain \(process \d+ on .+\) works on", failed.reason)


def test_equal_pictures_are_restored_once(tmp_path: Path) -> None:
    source = tmp_path / "still.mkv"
    run(*pattern(1, 5), "-vf", "fps=25", "-c:v", "ffv1", source)
    model = Same()
    done = restore(source, tmp_path / "out.mkv", model)
    assert (model.calls, done.sums.repeated, done.sums.pictures) == (5, 20, 25)
    assert np.array_equal(pictures(source), pictures(tmp_path / "out.mkv"))


def test_a_stretch(tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    run(*pattern(3), *tone(440, 3), *X264, "-bf", 2, "-c:a", "aac", source)
    restore(source, tmp_path / "b.mp4", Negative(), Wish(start=Fraction(1), end=Fraction(2)))
    assert shown(tmp_path / "b.mp4") == [time - 1 for time in shown(source) if 1 <= time < 2]
    sound = shown_sound(tmp_path / "b.mp4")
    assert abs(sound[0]) < 0.06
    assert 0.9 < sound[-1] < 1.05
    source_times = {round(time - 1, 6) for time in shown_sound(source)}
    assert all(min(abs(time - other) for other in source_times) < 1e-3 for time in sound)


def shown_sound(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [float(packet.pts * packet.time_base) for packet in container.demux(stream) if packet.size]


def test_nothing_between_start_and_end(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lies behind the end"):
        events_of(clip, tmp_path / "b.mp4", Negative(), Wish(start=Fraction(9)))
    tasks = [task_for(clip, tmp_path / name) for name in ("b.mp4", "c.mp4")]
    failures = list(FilmBatch(tasks, Negative(), Wish(start=Fraction(9))))
    assert [type(event) for event in failures] == [Failed, Failed]


def test_damage_is_counted_and_the_rest_is_in_time(clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    data = bytearray(clip.read_bytes())
    with av.open(str(clip)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    for place in (places[12], places[13], places[30]):
        data[place : place + 4] = b"\xff" * 4  # the length of what follows
    broken.write_bytes(data)
    done = restore(broken, tmp_path / "out.mp4", Negative())
    assert done.sums.lost == 3
    assert "3 packets that could not be decoded left out" in done.record.notes
    times = shown(tmp_path / "out.mp4")
    assert times == shown(broken)
    assert len(times) == 42


def test_a_film_cut_short(clip: Path, tmp_path: Path) -> None:
    source = tmp_path / "short.mkv"
    run("-i", clip, "-c", "copy", source)
    source.write_bytes(source.read_bytes()[:-9000])
    done = restore(source, tmp_path / "out.mkv", Negative())
    assert 5 < done.sums.pictures < 45
    assert shown(tmp_path / "out.mkv") == shown(source)


def test_the_damaged_clip(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "video" / "corrupted.mp4"
    done = restore(source, tmp_path / "out.mp4", Same())
    assert (done.sums.pictures, done.sums.lost, done.sums.damaged) == (49, 1, 1)
    assert shown(tmp_path / "out.mp4") == shown(source)
    assert "1 packet that could not be decoded left out" in done.record.notes


class _Full:
    """A disk that is full after so many calls."""

    def __init__(self, real: Any, after: int) -> None:
        self.real, self.after = real, after

    def __call__(self, *words: Any, **options: Any) -> Any:
        self.after -= 1
        if self.after < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.real(*words, **options)


def test_a_full_disk_while_segments_are_written(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mp4"
    with monkeypatch.context() as patch:
        patch.setattr(files, "_write", _Full(files._write, 3))  # the manifest's head, and two segments
        with pytest.raises(StorageError, match="the disk is full"):
            events_of(clip, out, Negative())
    assert restore(clip, out, Negative()).fresh == 25


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 200 kB, where such a disk can be had."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("no small disk can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_small_disk(tmp_path: Path, small_disk: Path) -> None:
    source = film(tmp_path / "a.mp4", *X264, "-crf", "4", size="320x240", seconds=2)
    with pytest.raises(StorageError, match="the disk is full"):
        events_of(source, small_disk / "out.mp4", Negative(), Wish(crf=1))
    assert list(small_disk.iterdir()) != []
    assert not (small_disk / "out.mp4").exists()


def test_a_full_disk_at_the_end(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "ffmpeg"
    tool.write_text(
        f"#!{sys.executable}\nimport sys\nsys.exit('av_interleaved_write_frame(): No space left on device')\n"
    )
    tool.chmod(0o755)
    out = tmp_path / "out.mp4"
    real = film_finish.finish

    def finish(*words: Any, **options: Any) -> None:
        monkeypatch.setenv(video_tool.VARIABLE, str(tool))
        video_tool.ffmpeg.cache_clear()
        real(*words, **options)

    with monkeypatch.context() as patch:
        patch.setattr(film_finish, "finish", finish)
        with pytest.raises(StorageError, match=r"the disk is full: .* the same command goes on"):
            events_of(clip, out, Negative())
    monkeypatch.delenv(video_tool.VARIABLE)
    video_tool.ffmpeg.cache_clear()
    assert restore(clip, out, Negative()).fresh == 0


def test_a_gif_stays_one(tmp_path: Path) -> None:
    source = tmp_path / "a.gif"
    run(*pattern(1, 10, "48x32"), "-loop", 3, source)
    model = Negative()
    done = restore(source, tmp_path / "b.gif", model)
    assert done.sums.pictures == model.calls + done.sums.repeated == 10
    assert done.sums.seconds <= done.seconds
    assert shown(tmp_path / "b.gif") == shown(source)
    assert b"NETSCAPE2.0\x03\x01\x03\x00" in (tmp_path / "b.gif").read_bytes()


def test_a_gif_from_a_film_and_back(clip: Path, tmp_path: Path) -> None:
    restore(clip, tmp_path / "a.gif", Same())
    times = shown(tmp_path / "a.gif")
    assert times == shown(clip)
    assert np.abs(np.array(pictures(tmp_path / "a.gif"), float) - pictures(clip)).mean() < 12
    restore(tmp_path / "a.gif", tmp_path / "b.mp4", Same())
    assert shown(tmp_path / "b.mp4") == times


def test_alpha_stays(tmp_path: Path) -> None:
    from drsformer_cli.media.video import probe
    from drsformer_cli.media.video_frames import shots
    from drsformer_cli.media.video_pixels import Pixels, plane_of

    source = CLIPS["alpha.webm"](tmp_path / "a.webm")
    restore(source, tmp_path / "b.webm", Negative(), Wish(crf=4))
    planes = []
    for path in (source, tmp_path / "b.webm"):
        found = probe(path)
        planes.append([plane_of(one.frame, 3).astype(float) for one in shots(found, Pixels(found))])
    assert np.abs(np.array(planes[0]) - planes[1]).mean() < 2


def test_subtitles_and_sound_are_converted_where_they_must_be(tmp_path: Path) -> None:
    source = CLIPS["crowded.mp4"](tmp_path / "a.mp4")
    plan = plan_film(task_for(source, tmp_path / "b.webm"), Wish())
    assert any("becomes Opus" in note for note in plan.notes)
    assert any("becomes WebVTT" in note for note in plan.notes)
    done = restore(source, tmp_path / "b.mkv", Negative())
    assert sum("becomes SubRip" in note for note in done.record.notes) == 2
    text = subprocess.run(
        [
            video_tool.ffmpeg(),
            "-v",
            "error",
            "-i",
            str(tmp_path / "b.mkv"),
            "-map",
            "0:s:0",
            "-f",
            "srt",
            "-",
        ],
        capture_output=True,
        check=True,
    ).stdout
    assert b"no rain" in text


def test_rounded_times_rise() -> None:
    assert rising([0, 1, 1, 1, 5]) == [0, 1, 2, 3, 5]


def test_an_error_of_the_last_step_keeps_the_segments(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> list[str]:
        raise OutputError("pictures are missing")

    out = tmp_path / "out.mp4"
    with monkeypatch.context() as patch:
        patch.setattr(film_finish, "compare", fail)
        assert isinstance(events_of(clip, out, Negative())[-1], Failed)
    assert not out.exists()
    assert restore(clip, out, Negative()).fresh == 0


MEMORY = """
import sys, psutil
from pathlib import Path
from drsformer_cli.jobs.film_events import Progress
from tests.jobs.films import Negative, events_of, task_for
from drsformer_cli.jobs.film_batch import FilmBatch
from drsformer_cli.jobs.film_plan import Wish
process, seen = psutil.Process(), []
for event in FilmBatch([task_for(Path(sys.argv[1]), Path(sys.argv[2]))], Negative(), Wish()):
    if isinstance(event, Progress):
        seen.append(process.memory_info().rss)
early, late = seen[300:600], seen[-300:]
print(max(early), max(late), len(seen))
"""


def memory_over(tmp_path: Path, count: int) -> None:
    source = film(tmp_path / "long.mp4", *X264, seconds=count / 25, size="128x128")
    words = [sys.executable, "-c", MEMORY, str(source), str(tmp_path / "out.mp4")]
    done = subprocess.run(words, capture_output=True, check=True, cwd=Path(__file__).parents[2])
    early, late, pictures_ = map(int, done.stdout.split())
    print(f"resident: {early / 2**20:.1f} MiB early, {late / 2**20:.1f} MiB late, {pictures_} pictures")
    assert pictures_ == count
    assert late - early < max(0.02 * early, 20 << 20)


def test_memory_does_not_grow(tmp_path: Path) -> None:
    memory_over(tmp_path, 1000)


@pytest.mark.slow
def test_memory_does_not_grow_over_3000_pictures(tmp_path: Path) -> None:
    memory_over(tmp_path, 3000)
