"""What several tests share: where the data are, and networks small enough to run at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

GOLDEN = Path(__file__).parent / "golden"
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"

# How long an example takes says nothing on a busy machine; the same examples each time keep runs comparable.
settings.register_profile("derain", deadline=None, derandomize=True)
settings.load_profile("derain")


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden data that travels with the tests."""
    return GOLDEN


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of pictures that may not be shipped; tests skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the shared test pictures are not beside this checkout")
    return SHARED_DATA
