"""Films of all kinds through the whole way: what must be equal before and after, and a table of it.

pytest tests/jobs/test_film_matrix.py -s        prints the table
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from drsformer_cli.media.video import Film, probe
from tests.jobs.films import Negative, restore
from tests.media.clips import CLIPS, shown

#: What a muxer writes of itself.
_OWN = frozenset({"encoder", "duration", "major_brand", "minor_version", "compatible_brands", "alpha_mode"})
SHARED = (
    "av1_video.mkv",
    "bt709_full_range.mp4",
    "h264_10bits.mp4",
    "h265_10bits.mp4",
    "nasa_13013.mp4",
    "transparent.webm",
    "video_0.mov",
    "video_90.mov",
    "video_180.mov",
    "video_270.mov",
    "video_with_failing_audio.mp4",
)
#: Too much work for every day.
SHARED_LARGE = ("no_duration.webm", "smpte-2997.mp4")
ROWS: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Print the table when all rows are there."""
    yield
    print("\nfilm | pictures | times | tracks copied bit for bit | tags | notes")
    for row in ROWS:
        print(row)


def packets(path: Path) -> dict[int, list[tuple[Fraction, str]]]:
    """Return (time, hash) of every packet by track."""
    found: dict[int, list[tuple[Fraction, str]]] = defaultdict(list)
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size:
                time = Fraction(packet.pts if packet.pts is not None else packet.dts or 0) * packet.time_base
                found[packet.stream_index].append((time, hashlib.sha256(bytes(packet)).hexdigest()))
    return found


def tags(metadata: Any) -> dict[str, str]:
    return {key.lower(): value for key, value in dict(metadata).items() if key.lower() not in _OWN}


def listing(film: Film) -> dict[str, Any]:
    """Return all that is to be equal of a film besides its packets."""
    with av.open(str(film.path)) as container:
        chapters = [
            (
                Fraction(one["start"]) * one["time_base"],
                Fraction(one["end"]) * one["time_base"],
                one["metadata"],
            )
            for one in container.chapters()
        ]
        attachments = [
            (one.metadata.get("filename"), one.metadata.get("mimetype"), one.data)
            for one in container.streams
            if one.type == "attachment"
        ]
        streams = [(one.type, int(one.disposition.value), tags(one.metadata)) for one in container.streams]
        for kind, _, names in streams:
            if kind == "data":  # a time code's track, made anew
                names.pop("handler_name", None)
    colour = film.colour
    return {
        "size": (film.width, film.height),
        "pixels": film.pixels,
        "turn": film.turn,
        "aspect": film.aspect or 1,
        "primaries, transfer, matrix": (colour.primaries, colour.transfer, colour.matrix),
        # limited is what unspecified means
        "range": colour.range or 1,
        "chroma": colour.chroma,
        "fields": film.fields,
        "light": dict(film.light),
        "tags": tags(film.metadata),
        "streams": streams,
        "chapters": chapters,
        "attachments": attachments,
    }


def check(source: Path, out: Path, name: str) -> None:
    """Restore a film and compare it with its source."""
    done = restore(source, out, Negative())
    before, after = probe(source), probe(out)
    times, came = shown(source, before.track.index), shown(out, after.track.index)
    rounding = (
        Fraction(0)
        if out.suffix in (".mp4", ".mov") or before.time_base == Fraction(1, 1000)
        else Fraction(1, 1000)
    )
    assert len(came) == len(times) == done.sums.pictures
    assert max(abs(a - b) for a, b in zip(times, came, strict=True)) <= rounding
    ours, theirs = packets(out), packets(source)
    copied = 0
    for track in before.tracks:
        if (
            track.index == before.track.index
            or track.kind in ("attachment",)
            or track.codec.startswith("tmcd")
        ):
            continue
        assert [digest for _, digest in ours[track.index]] == [digest for _, digest in theirs[track.index]]
        assert [time for time, _ in ours[track.index]] == [time for time, _ in theirs[track.index]]
        copied += 1
    wanted, had = listing(before), listing(after)
    for key, value in wanted.items():
        assert had[key] == value, key
    notes = "; ".join(done.record.notes)
    ROWS.append(
        f"{name} | {len(came)} | {'equal' if not rounding else 'to 1 ms'} | {copied} | equal | {notes}"
    )


@pytest.mark.parametrize("name", CLIPS)
def test_a_made_film(name: str, tmp_path: Path) -> None:
    check(CLIPS[name](tmp_path / name), tmp_path / f"out{Path(name).suffix}", name)


@pytest.mark.parametrize("name", SHARED)
def test_a_found_film(name: str, shared_data: Path, tmp_path: Path) -> None:
    check(shared_data / "video" / name, tmp_path / name, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARED_LARGE)
def test_a_large_found_film(name: str, shared_data: Path, tmp_path: Path) -> None:
    check(shared_data / "video" / name, tmp_path / name, name)
