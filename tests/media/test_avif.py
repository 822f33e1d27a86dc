from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from drsformer_cli.errors import UnreadableError, UnsupportedError
from drsformer_cli.media.images import decode, encode
from tests.media.builders import SRGB, XMP, again, exif_block, noise, opened, saved, smooth, tiny_jpeg

pytestmark = pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")


def setting(data: bytes) -> int:
    """The byte of av1C that holds depth and sampling."""
    return data[data.index(b"av1C") + 6]


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:0:0"])
def test_sampling_and_metadata_are_kept(subsampling: str) -> None:
    meta: dict[str, Any] = {"exif": exif_block(1, maker_note=b"maker" * 9), "xmp": XMP, "icc_profile": SRGB}
    source = saved(
        smooth(48, 64, 1 if subsampling == "4:0:0" else 3), "AVIF", subsampling=subsampling, **meta
    )
    # as other programs write it: with the orientation tag of an upright picture inside EXIF
    picture, result = again(source, "a.avif")
    assert setting(result) & 0x1C == setting(source) & 0x1C
    assert picture.notes == []
    back = decode(result, "a.avif")
    assert (back.metadata.exif, back.metadata.xmp, back.metadata.icc) == (picture.metadata.exif, XMP, SRGB)
    assert back.layers[0].grey == (subsampling == "4:0:0")
    assert np.abs(picture.frames[0].astype(int) - back.frames[0]).mean() < 2


def test_exif_of_an_upright_picture_is_kept_byte_for_byte() -> None:
    block = exif_block(1, maker_note=b"absolute offsets" * 4)
    picture = decode(saved(smooth(20, 20), "AVIF", exif=exif_block()), "a.avif")
    picture.metadata.exif = block
    result = encode(picture, picture.frames)
    assert block in result
    assert opened(result).info["exif"] == block


def test_what_was_lossless_is_written_as_well_as_can_be() -> None:
    """Such files say that their planes are green, blue and red themselves; Pillow writes none."""
    data = saved(noise(40, 40, 3), "AVIF", quality=100, subsampling="4:4:4")
    place = data.index(b"colrnclx") + 12
    picture, result = again(data[:place] + b"\0\0" + data[place + 2 :], "a.avif")
    assert not picture.lossy
    assert np.abs(decode(result, "a.avif").frames[0].astype(int) - picture.frames[0]).mean() < 2


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_picture_stays_turned(orientation: int) -> None:
    samples = smooth(24, 40)
    source = saved(samples, "AVIF", exif=exif_block(orientation), quality=95, subsampling="4:4:4")
    picture, result = again(source, "a.avif")
    assert picture.frames[0].shape[:2] == ((40, 24) if orientation > 4 else (24, 40))
    for box in (b"irot", b"imir"):
        assert (box in source) == (box in result)
    assert opened(result).size == (40, 24)
    assert opened(result).getexif()[274] == orientation
    assert np.abs(np.asarray(opened(source)).astype(int) - np.asarray(opened(result))).mean() < 2


def test_alpha_is_kept() -> None:
    samples = np.concatenate([smooth(40, 40), smooth(40, 40, 1)[..., np.newaxis]], axis=2)
    picture, result = again(saved(samples, "AVIF", quality=100), "a.avif")
    alpha, back = picture.layers[0].alpha, decode(result, "a.avif").layers[0].alpha
    assert alpha is not None
    assert back is not None
    assert np.abs(alpha.astype(int) - back).max() <= 2


def test_an_animation_keeps_frames_and_durations() -> None:
    frames = [Image.fromarray(smooth(32, 32) // (i + 1)) for i in range(3)]
    buffer = BytesIO()
    frames[0].save(buffer, "AVIF", save_all=True, append_images=frames[1:], duration=[100, 250, 40])
    picture = decode(buffer.getvalue(), "a.avif")
    result = encode(picture, [picture.frames[0]] * 3)
    back = decode(result, "a.avif")
    assert back.timing is not None
    assert back.timing.durations == [Fraction(100, 1000), Fraction(250, 1000), Fraction(40, 1000)]


def test_the_colour_description_is_kept() -> None:
    source = bytearray(saved(smooth(20, 20), "AVIF"))
    at = source.index(b"nclx")
    source[at + 4 : at + 8] = b"\0\x0c\0\x0d"  # Display P3
    _, result = again(bytes(source), "a.avif")
    at = result.index(b"nclx")
    assert result[at + 4 : at + 8] == b"\0\x0c\0\x0d"


def test_deeper_pictures_are_refused() -> None:
    source = bytearray(saved(smooth(20, 20), "AVIF"))
    source[source.index(b"av1C") + 6] |= 0x40
    with pytest.raises(UnsupportedError, match=r"deep\.avif is an AVIF of 10 bits"):
        decode(bytes(source), "deep.avif")


def test_a_thumbnail_is_dropped() -> None:
    source = saved(smooth(20, 20), "AVIF", exif=exif_block(thumbnail=tiny_jpeg()))
    picture, result = again(source, "a.avif")
    assert picture.notes == ["embedded thumbnail dropped"]
    assert b"\xff\xd8\xff" not in result


@pytest.mark.parametrize("part", [0.1, 0.4, 0.8])
def test_a_file_cut_short_is_unreadable(part: float) -> None:
    data = saved(noise(64, 64, 3), "AVIF")
    with pytest.raises(UnreadableError, match=r"half\.avif"):
        decode(data[: int(len(data) * part)], "half.avif")


def test_real_files_look_the_same(shared_data: Path) -> None:
    for path in sorted((shared_data / "torture" / "pillow" / "avif").glob("*.avif")):
        picture, result = again(path.read_bytes(), path.name)
        back = decode(result, path.name)
        assert [frame.shape for frame in back.frames] == [frame.shape for frame in picture.frames]
        assert np.abs(picture.frames[0].astype(int) - back.frames[0]).mean() < 4


def test_a_gain_map_is_named_as_dropped() -> None:
    source = saved(smooth(32, 32), "AVIF")
    mark = b"urn:com:photo:aux:hdrgainmap"
    free = (len(mark) + 8).to_bytes(4, "big") + b"free" + mark
    picture, result = again(source + free, "a.avif")
    assert picture.notes == ["gain map dropped"]
    assert mark not in result


def test_a_pillow_without_avif_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    source = saved(smooth(32, 32), "AVIF")
    monkeypatch.setattr(features, "check", lambda _name: False)
    with pytest.raises(UnsupportedError, match=r"a\.avif is an AVIF file, and this Pillow was built without"):
        decode(source, "a.avif")
