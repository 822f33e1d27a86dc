"""Putting a film together: what is done about tracks that break off on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from drsformer_cli.media import remux, video_tracks
from drsformer_cli.media.video import Film, Track, probe
from drsformer_cli.media.video_tracks import ATTACH, Company, Copy, Cut
from tests.media.clips import film


def test_only_what_is_damaged_is_converted_or_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = replace(probe(film(tmp_path / "a.mp4", seconds=0.2)), ahead=Fraction(1))
    sound, cover, other = (
        Track(1, "audio", "aac"),
        Track(2, "video", "png", cover=True),
        Track(3, "data", "klv"),
    )
    words, made = Track(4, "subtitle", "srt"), Track(5, "audio", "mp3")
    copies = (
        Copy(words),
        Copy(sound),
        Copy(cover, ATTACH),
        Copy(other),
        Copy(made, "flac"),
        Copy(replace(words, index=6)),
    )
    asked: list[tuple[Sequence[str], Path]] = []

    def tried(_film: Film, _container: str, alone: list[Copy], stretch: Sequence[str], folder: Path) -> bool:
        asked.append((tuple(stretch), folder))
        (copy,) = alone
        assert copy.encoder != ATTACH  # it is no track
        return copy.track.kind == "subtitle" or (copy.track, copy.encoder) == (sound, "flac")

    monkeypatch.setattr(remux, "tried", tried)
    monkeypatch.setattr(video_tracks, "tried", tried)
    company = Company("matroska", copies, ("noted before",))
    cut = Cut(Fraction(1, 2), Fraction(3))
    kept, notes = remux._without_broken(source, company, cut, tmp_path)
    assert kept == Company(
        "matroska",
        (Copy(words), Copy(sound, "flac"), Copy(cover, ATTACH), Copy(replace(words, index=6))),
        ("noted before",),
    )
    assert notes == [
        f"{sound.words} becomes FLAC: it is damaged, and cannot be copied",
        f"{other.words} dropped: it is damaged, and cannot be written",
        f"{made.words} dropped: it is damaged, and cannot be written",
    ]
    # whole, and where the film is put together: all of it may be large
    assert set(asked) == {(("-ss", "1.500000", "-to", "4.000000"), tmp_path)}
