"""Values of options: what is taken, what is refused, and how it reads."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsformer_cli.cli import options
from drsformer_cli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4G", 4 << 30),
        ("4g", 4 << 30),
        ("4GB", 4 << 30),
        ("4 GiB", 4 << 30),
        ("1.5G", 3 << 29),
        ("800M", 800 << 20),
        ("1T", 1 << 40),
        ("4294967296", 1 << 32),
        ("131072K", 128 << 20),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert options.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "4X", "-4G", "4", "1M", "4G4", "1e9", "nan", "inf", "0"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--memory"):
        options.parse_size(text)


@given(st.text(max_size=12))
def test_any_words_are_taken_or_refused(text: str) -> None:
    for parse in (options.parse_size, options.parse_tile, options.parse_device):
        with suppress(UsageError):
            parse(text)


@pytest.mark.parametrize(("text", "tile"), [("auto", "auto"), ("off", "off"), ("64", 64), ("512", 512)])
def test_tiles(text: str, tile: str | int) -> None:
    assert options.parse_tile(text) == tile


@pytest.mark.parametrize("text", ["0", "8", "63", "100", "-64", "64.0", "on", "", "٦٤"])
def test_tiles_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--tile"):
        options.parse_tile(text)


@pytest.mark.parametrize("text", ["auto", "cpu", "cuda", "cuda:0", "CUDA:12", "mps"])
def test_devices(text: str) -> None:
    assert options.parse_device(text) == text.lower()


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:x", "cpu:0", "", "cuda:-1", "cuda:٣"])
def test_devices_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--device"):
        options.parse_device(text)
