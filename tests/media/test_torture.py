"""Every hostile and odd picture: it comes back with all it had, or it is refused by name."""

from __future__ import annotations

import random
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drsformer_cli.media.images import Picture, decode, encode
from drsformer_cli.media.picture import Array
from tests.media.builders import refusal

SAMPLE = 200
# what Pillow calls the pixels of a source, and what it may call those of the result
WIDENED = {
    "P": {"RGB", "RGBA", "P"},
    "PA": {"RGBA"},
    "L": {"L", "LA", "P"},
    "RGB": {"RGB", "RGBA"},
    "1": {"P"},
}
WIDENED |= {
    "I": {"I", "I;16"},
    "I;16": {"I;16", "I;16B", "LA", "RGBA"},
    "I;16B": {"I;16B"},
    "F": {"F"},
    "RGBX": {"RGBX"},
}

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="session")
def torture(shared_data: Path) -> list[Path]:
    return sorted(path for path in (shared_data / "torture").rglob("*") if path.is_file())


def decoded(path: Path) -> Picture | None:
    """The picture, or None when it is refused as it should be."""
    words = refusal(path.read_bytes(), path.name)
    if words is None:
        return decode(path.read_bytes(), path.name)
    assert words.startswith(path.name)
    assert words.endswith(".")
    assert "\n" not in words
    return None


def test_each_is_kept_or_refused_by_name(torture: list[Path]) -> None:
    refused = []
    for path in torture:
        picture = decoded(path)
        if picture is None:
            refused.append(path.name)
        else:
            result = encode(picture, picture.frames)
            check_kept(picture, decode(result, path.name), path.name)
            check_seen_by_others(path.read_bytes(), result, path.name)
    # a reader that refuses everything would pass the rest
    assert len(torture) > 900
    assert len(refused) < 0.16 * len(torture)


def check_kept(before: Picture, after: Picture, name: str) -> None:
    """Size, depth, alpha, metadata and timing; and the pixels where the format can hold them."""
    assert [f.shape for f in after.frames] == [f.shape for f in before.frames], name
    assert [f.dtype for f in after.frames] == [f.dtype for f in before.frames], name
    assert after.timing == before.timing, name
    assert after.metadata == before.metadata, name
    for one, other in zip(before.layers, after.layers, strict=True):
        assert (one.grey, one.orientation) == (other.grey, other.orientation), name
        assert (one.alpha is None) == (other.alpha is None), name
        if one.alpha is not None and before.format != "avif":
            assert (one.alpha == other.alpha).all(), name
    assert not after.notes, name
    for one, other, layer in zip(before.frames, after.frames, before.layers, strict=True):
        check_pixels(one, other, layer.alpha, before, name)


def check_pixels(one: Array, other: Array, alpha: Array | None, picture: Picture, name: str) -> None:
    if picture.format == "gif" or picture.lossy:
        shown = np.ones(one.shape[:2], bool) if alpha is None or alpha.shape != one.shape[:2] else alpha > 0
        difference = np.abs(one.astype(int) - other)[shown]
        assert difference.size == 0 or difference.mean() < 8, name
    else:
        assert (one == other).all(), name


def check_seen_by_others(source: bytes, result: bytes, name: str) -> None:
    """What Pillow says of source and result, where it reads the source."""
    try:
        before = Image.open(BytesIO(source))
        before.load()
    except (OSError, ValueError, SyntaxError):
        return
    after = Image.open(BytesIO(result))
    after.load()
    formats = {"MPO": "JPEG"}
    assert formats.get(str(after.format), after.format) == formats.get(str(before.format), before.format), (
        name
    )
    assert after.size == before.size, name
    assert after.mode == before.mode or after.mode in WIDENED.get(before.mode, set()), name
    assert getattr(after, "n_frames", 1) == getattr(before, "n_frames", 1) or name.startswith(
        "single_frame"
    ), name
    assert after.info.get("icc_profile") == before.info.get("icc_profile"), name


def check_changed(paths: list[Path]) -> None:
    """A mild restoration arrives in the file as it was made."""
    for path in paths:
        picture = decoded(path)
        if picture is None:
            continue
        restored = [mildly_changed(frame) for frame in picture.frames]
        back = decode(encode(picture, restored), path.name)
        for one, other, layer in zip(restored, back.frames, picture.layers, strict=True):
            check_pixels(one, other, layer.alpha, picture, path.name)


def mildly_changed(frame: Array) -> Array:
    """All three channels a little darker, alike so that grey stays grey."""
    if frame.dtype.kind == "f":
        return (frame * np.float32(0.98)).astype(frame.dtype)
    return (frame - frame // 50).astype(frame.dtype)


def test_a_sample_mildly_changed(torture: list[Path]) -> None:
    check_changed(random.Random(7).sample(torture, SAMPLE))


@pytest.mark.slow
def test_all_mildly_changed(torture: list[Path]) -> None:
    check_changed(torture)


@pytest.mark.slow
def test_all_cut_short_anywhere(torture: list[Path]) -> None:
    """Wherever a file ends, the answer is a picture or an error that names it."""
    places = random.Random(11)
    for path in torture:
        data = path.read_bytes()
        for _ in range(8):
            words = refusal(data[: places.randrange(len(data) + 1)], path.name)
            assert words is None or path.name in words
