"""A finished film beside its source: what is missing, shorter or later than it should be is said."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

from drsformer_cli.errors import OutputError
from drsformer_cli.media.video import Film, pixels_of, probe
from drsformer_cli.media.video_compare import compare, compare_gif
from drsformer_cli.media.video_tracks import Company, Cut, keep_company
from tests.media.clips import X264, pattern, run, tone

WHOLE = Cut()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a film of 25 pictures, a second long, with sound."""
    path = tmp_path / "a.mkv"
    run(*pattern(1), *tone(), *X264, "-c:a", "aac", path)
    return path


@pytest.fixture
def found(source: Path) -> Film:
    return probe(source)


@pytest.fixture
def company(found: Film) -> Company:
    return keep_company(found, "matroska")


def times(count: int, late: Fraction = Fraction(0)) -> list[Fraction]:
    return [Fraction(number, 25) + late for number in range(count)]


def copied(source: Path, *words: object) -> Path:
    """Return a copy of a film's packets, changed as the words say."""
    path = source.with_name("out.mkv")
    run(*words, "-c", "copy", path)
    return path


def test_a_film_that_is_as_it_should_be(source: Path, found: Film, company: Company) -> None:
    assert compare(found, copied(source, "-i", source), company, WHOLE, times(25)) == []


def test_pictures_that_are_missing_make_no_film(source: Path, found: Film, company: Company) -> None:
    with pytest.raises(OutputError, match=r"^out\.mkv came out with 25 pictures instead of 26\.$"):
        compare(found, copied(source, "-i", source), company, WHOLE, times(26))


def test_pictures_that_come_at_other_times(source: Path, found: Film, company: Company) -> None:
    late = [*times(24), Fraction(24, 25) + Fraction(1, 500)]
    words = compare(found, copied(source, "-i", source), company, WHOLE, late)
    assert words == ["timestamps of pictures differ from the source by up to 2.000 ms"]


def test_sound_that_is_shorter(source: Path, found: Film, company: Company) -> None:
    inputs = ("-i", source, "-t", "0.5", "-i", source, "-map", "0:v", "-map", "1:a")
    (words,) = compare(found, copied(source, *inputs), company, WHOLE, times(25))
    track, _, rest = words.partition(": ")
    assert track.startswith("audio track 1 (aac")
    assert rest.endswith(" bytes")
    assert int(rest.split()[0]) < int(rest.split()[2])


def test_sound_that_is_late(source: Path, found: Film, company: Company) -> None:
    inputs = ("-i", source, "-itsoffset", "0.2", "-i", source, "-map", "0:v", "-map", "1:a")
    (words,) = compare(found, copied(source, *inputs), company, WHOLE, times(25))
    assert words.startswith("audio track 1 (aac")
    begins, instead = map(float, re.findall(r"(-?\d+\.\d+) s", words))
    assert begins - instead == pytest.approx(0.2, abs=0.01)


def test_sound_that_a_stretch_lacks(source: Path, found: Film, company: Company) -> None:
    cut = Cut(None, Fraction(1))
    assert compare(found, copied(source, "-i", source), company, cut, times(25)) == []
    (words,) = compare(found, copied(source, "-i", source, "-an"), company, cut, times(25))
    assert words.startswith("audio track 1 (aac")
    assert " 0 packets instead of " in words


def test_a_gif_that_lost_pictures(tmp_path: Path) -> None:
    run(*pattern(0.4), tmp_path / "a.gif")
    assert compare_gif(tmp_path / "a.gif", 10) == []
    assert compare_gif(tmp_path / "a.gif", 11) == ["10 pictures instead of 11"]


def test_the_pixels_of_what_has_no_pictures(tmp_path: Path) -> None:
    run(*tone(seconds=0.2), "-c:a", "aac", tmp_path / "song.m4a")
    assert pixels_of(tmp_path / "song.m4a") == 0
    with pytest.raises(FileNotFoundError) as error:
        pixels_of(tmp_path / "gone.mp4")
    assert error.value.filename == str(tmp_path / "gone.mp4")
