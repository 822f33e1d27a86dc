"""What these tests share with those of the command line."""

from __future__ import annotations

from tests.cli.conftest import derain, one_thread, tiny

__all__ = ["derain", "one_thread", "tiny"]
