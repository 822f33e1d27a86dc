"""Hurt films by the hundred, in several containers and codecs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from drsformer_cli.errors import InputError
from drsformer_cli.media.video import probe
from tests.fuzz import films
from tests.fuzz.cage import Cage
from tests.fuzz.campaign import Table, cases, run
from tests.media import clips


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    """A short film of every kind."""
    folder, made = tmp_path_factory.mktemp("films"), []
    for suffix, words in films.KINDS.items():
        path = folder / f"a.{suffix}"
        clips.run(*clips.pattern(0.4, 20, "32x32"), *words, path)
        made.append((path.name, path.read_bytes()))
    return made


def check(work: Callable[[str, bytes], str], sound: list[tuple[str, bytes]], seed: int, trials: int) -> None:
    table = Table()
    with Cage(work) as cage:
        run(cage, cases(sound, seed, trials), table, minutes=60)
    assert not table.failures, "\n".join(f"{case}: {outcome}" for case, outcome in table.failures)
    assert table.trials == trials


def test_sound_films_are_whole(sound: list[tuple[str, bytes]]) -> None:
    for name, data in sound:
        assert films.look(name, data) == "whole", name


def test_hurt_films_are_read_or_refused(sound: list[tuple[str, bytes]]) -> None:
    check(films.look, sound, 1, 36)


def test_hurt_films_are_restored_or_refused(sound: list[tuple[str, bytes]]) -> None:
    check(films.redo, sound, 2, 9)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_hurt_films(sound: list[tuple[str, bytes]]) -> None:
    check(films.look, sound, 3, 900)
    check(films.redo, sound, 4, 180)


PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{there}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile {there}\n",
    "sdp": "v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><BaseURL>'
    '{there}</BaseURL><Representation id="1" mimeType="video/mp4"/></AdaptationSet></Period></MPD>',
}


@pytest.mark.parametrize("suffix", ["", ".mp4"])
@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize(
    "there", ["http://127.0.0.1:9/a.mp4", "tcp://127.0.0.1:9", "secret.ts", "/etc/passwd"]
)
def test_playlists_lead_nowhere(kind: str, suffix: str, there: str, tmp_path: Path) -> None:
    """A film that only names other files, here or in the net, is no film."""
    clips.film(tmp_path / "secret.ts", seconds=0.2)
    path = tmp_path / (f"a{suffix}" if suffix else f"a.{kind}")
    path.write_text(PLAYLISTS[kind].format(there=there))
    with pytest.raises((InputError, OSError)):
        probe(path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi"])
def test_tags_that_are_no_text(suffix: str, tmp_path: Path) -> None:
    """Found: a film whose title is not UTF-8 could not be opened."""
    path = tmp_path / f"a.{suffix}"
    clips.run(*clips.pattern(0.2, 20, "32x32"), "-metadata", "title=rainrainrain", *films.KINDS[suffix], path)
    data = path.read_bytes()
    assert b"rainrainrain" in data
    hurt = data.replace(b"rainrainrain", b"rain\xff\xe1\x80\xb0rain")
    assert films.look(path.name, hurt) == "whole"
    assert films.redo(path.name, hurt) == "whole"
