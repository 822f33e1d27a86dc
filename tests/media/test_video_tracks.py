"""What becomes of tracks besides the pictures: sound, cover art, chapters and time codes, by container."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from drsformer_cli.errors import StorageError
from drsformer_cli.media import video_tracks
from drsformer_cli.media.video import Film, Track, probe
from drsformer_cli.media.video_tracks import ATTACH, Copy, keep_company
from tests.media.clips import film

CODE = {"timecode": "10:00:00:00"}
COVER = Track(1, "video", "png", cover=True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Film:
    """Return a film of a picture track alone."""
    return probe(film(tmp_path_factory.mktemp("film") / "a.mp4", seconds=0.2))


def with_track(plain: Film, track: Track, *, chapters: int = 0, coded: bool = False) -> Film:
    """Return a film that has one more track; `coded` gives its picture track a time code."""
    first = replace(plain.track, metadata=CODE if coded else {})
    return replace(plain, track=first, tracks=(first, track), chapters=chapters)


@pytest.mark.parametrize("track", [Track(1, "data", "tmcd"), Track(1, "data", "none", metadata=CODE)])
@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "webm"])
@pytest.mark.parametrize("coded", [True, False])
def test_a_time_code_is_made_anew_where_the_pictures_have_it(
    plain: Film, track: Track, container: str, coded: bool
) -> None:
    company = keep_company(with_track(plain, track, coded=coded), container)
    anew = coded and container in ("mp4", "mov")
    words = "is made anew from the time code of the picture track" if anew else "(time code) dropped"
    assert (company.copies, company.notes) == ((), (f"{track.words} {words}",))


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_chapters_are_made_anew(plain: Film, container: str) -> None:
    track = Track(1, "data", "bin_data")
    company = keep_company(with_track(plain, track, chapters=2), container)
    assert (company.copies, company.notes) == ((), (f"{track.words} is made anew from the chapters",))


def test_cover_art_goes_where_a_container_has_a_place_for_it(plain: Film) -> None:
    covered = with_track(plain, COVER)
    assert keep_company(covered, "matroska").copies == (Copy(COVER, ATTACH),)
    webm = keep_company(covered, "webm")
    assert (webm.copies, webm.notes) == ((), (f"{COVER.words} dropped: WebM does not hold it",))
    gif = keep_company(covered, "gif")
    assert (gif.copies, gif.notes) == ((), (f"{COVER.words} dropped: GIF holds pictures only",))


@pytest.mark.parametrize("kind", ["data", "audio"])
def test_what_is_left_is_tried(plain: Film, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sound track with a time code among its tags is a sound track."""
    asked: list[list[Copy]] = []

    def tried(_film: Film, _container: str, copies: list[Copy], *_: object) -> bool:
        asked.append(copies)
        return True

    monkeypatch.setattr(video_tracks, "tried", tried)
    track = Track(1, kind, "bin_data" if kind == "data" else "aac", metadata=CODE if kind == "audio" else {})
    company = keep_company(with_track(plain, track, chapters=2 if kind == "audio" else 0), "mp4")
    assert asked == [[Copy(track)]]
    assert (company.copies, company.notes) == ((Copy(track),), ())


def test_what_is_tried_leaves_the_notes_on_the_rest(plain: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    code, sound = Track(1, "data", "tmcd"), Track(2, "audio", "aac")
    several = replace(plain, tracks=(plain.track, code, sound, replace(COVER, index=3)))
    monkeypatch.setattr(video_tracks, "tried", lambda *_: True)
    company = keep_company(several, "mp4")
    assert company.copies == (Copy(sound), Copy(replace(COVER, index=3)))
    assert company.notes == (f"{code.words} (time code) dropped",)
    assert keep_company(several, "matroska").copies == (Copy(sound), Copy(replace(COVER, index=3), ATTACH))


@pytest.mark.parametrize(
    ("container", "name", "sound", "text"),
    [
        ("mp4", "MP4", ("aac", ("-b", "256k"), "AAC, 256 kbit/s"), ("mov_text", (), "timed text")),
        ("mov", "QuickTime", ("aac", ("-b", "256k"), "AAC, 256 kbit/s"), ("mov_text", (), "timed text")),
        ("matroska", "Matroska", ("flac", (), "FLAC"), ("srt", (), "SubRip")),
        ("webm", "WebM", ("libopus", ("-b", "192k"), "Opus, 192 kbit/s"), ("webvtt", (), "WebVTT")),
    ],
)
def test_each_track_is_settled_alone_where_not_all_go(
    plain: Film,
    monkeypatch: pytest.MonkeyPatch,
    container: str,
    name: str,
    sound: tuple[str, tuple[str, ...], str],
    text: tuple[str, tuple[str, ...], str],
) -> None:
    """The first goes as it is, the second and third when they are converted, the fourth not at all."""
    kinds = (("audio", "opus"), ("audio", "pcm_s24le"), ("subtitle", "ass"), ("data", "klv"))
    tracks = [Track(index, kind, codec) for index, (kind, codec) in enumerate(kinds, 1)]

    def tried(_film: Film, _container: str, copies: list[Copy], *_: object) -> bool:
        return all(copy.encoder != "copy" or copy.track.index == 1 for copy in copies)

    monkeypatch.setattr(video_tracks, "tried", tried)
    company = keep_company(replace(plain, tracks=(plain.track, *tracks)), container)
    assert company.copies == (Copy(tracks[0]), Copy(tracks[1], *sound[:2]), Copy(tracks[2], *text[:2]))
    assert company.notes == (
        f"{tracks[1].words} becomes {sound[2]}: {name} does not hold it as it is",
        f"{tracks[2].words} becomes {text[2]}, without its styling: {name} does not hold it as it is",
        f"{tracks[3].words} dropped: {name} does not hold it",
    )


def test_trials_leave_nothing(plain: Film, tmp_path: Path) -> None:
    copies = [Copy(plain.track)]
    assert video_tracks.tried(plain, "mp4", copies, folder=tmp_path)
    assert not video_tracks.tried(plain, "webm", copies, folder=tmp_path)  # which holds no such pictures
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_is_told_with_the_place_of_the_trial(
    plain: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(words: Sequence[str], place: Path) -> None:
        assert words[-1] == f"file:{place}"
        raise StorageError(f"the disk is full: {place}")

    monkeypatch.setattr(video_tracks, "run_tool", full)
    with pytest.raises(StorageError, match="the disk is full") as caught:
        video_tracks.tried(plain, "mp4", [Copy(plain.track)], folder=tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []
