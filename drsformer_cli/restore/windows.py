"""A picture cut into windows that the caches hold, and the margins around them."""

from __future__ import annotations

import math
import mmap
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

Size = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A rectangle of a larger picture. A side is `cut` where the picture goes on beyond it.

    Attributes:
        top, bottom, left, right: the rectangle, in pixels.
        above, below, before, after: whether each of these sides is cut.
    """

    top: int
    bottom: int
    left: int
    right: int
    above: bool
    below: bool
    before: bool
    after: bool

    def of(self, x: Tensor, margin: int = 0) -> Tensor:
        """View the window in (H, W, C), with `margin` pixels more on each side that is cut."""
        return x[
            self.top - margin * self.above : self.bottom + margin * self.below,
            self.left - margin * self.before : self.right + margin * self.after,
        ]

    def doubled(self) -> Window:
        """Return the same window in a picture of twice the size."""
        return replace(
            self, top=2 * self.top, bottom=2 * self.bottom, left=2 * self.left, right=2 * self.right
        )

    def halved(self) -> Window:
        """Return the same window in a picture of half the size."""
        return replace(
            self, top=self.top // 2, bottom=self.bottom // 2, left=self.left // 2, right=self.right // 2
        )

    def alone(self) -> Window:
        """Return the window as a picture of its own."""
        height, width = self.bottom - self.top, self.right - self.left
        return replace(self, top=0, bottom=height, left=0, right=width)

    def trim(self, x: Tensor, rows: int) -> Tensor:
        """Drop `rows` rows of (H, W, C) at the top and bottom, where these are cut; no copy."""
        if not (rows and (self.above or self.below)):
            return x
        return x[rows * self.above : x.shape[0] - rows * self.below]

    def crop(self, x: Tensor, columns: int) -> Tensor:
        """Drop `columns` columns of (H, W, C) at the left and right, where these are cut."""
        return x[:, columns * self.before : x.shape[1] - columns * self.after]

    def blank(self, x: Tensor, columns: int) -> Tensor:
        """Set `columns` columns of (H, W, C) at the left and right to 0, where these are cut, in place."""
        x[:, : columns * self.before] = 0
        x[:, x.shape[1] - columns * self.after :] = 0
        return x

    def pad(self, reach: int) -> int:
        """Rows of zeros to put around this window for a convolution; see `rest`."""
        return 0 if self.above and self.below else reach

    def rest(self, x: Tensor, reach: int) -> Tensor:
        """Drop the rows that a convolution so padded got wrong, for want of what lies beyond a cut."""
        return x if self.above and self.below else self.trim(x, reach)


def split(length: int, side: int) -> list[int]:
    """Even edges that cut `length` into pieces of about one size, none longer than `side` (+ 1)."""
    count = -(-length // side)
    return [round(i * length / count / 2) * 2 for i in range(count)] + [length]


def windows(height: int, width: int, size: Size) -> Iterator[Window]:
    """Cut a picture into windows of at most about `size` (height, width), row by row from the top left."""
    ys, xs = split(height, size[0]), split(width, size[1])
    for top, bottom in pairwise(ys):
        for left, right in pairwise(xs):
            yield Window(top, bottom, left, right, top > 0, bottom < height, left > 0, right < width)


def lasting(shape: Sequence[int], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Make a tensor on the device of `like` that will outlive many small ones.

    On a CPU it lies off the heap, where it would stand between holes that the small ones leave behind.
    """
    dtype = dtype or like.dtype
    if like.device.type != "cpu":
        return like.new_empty(shape, dtype=dtype)
    memory = mmap.mmap(-1, max(1, math.prod(shape) * dtype.itemsize))
    return torch.frombuffer(memory, dtype=dtype, count=math.prod(shape)).view(*shape)


class Scratch:
    """Memory that is taken once and used again and again, by name; what it held before is lost."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, shape: Sequence[int], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Return a contiguous tensor of `shape` on the device of `like`, and of its dtype unless told."""
        dtype, count = dtype or like.dtype, math.prod(shape)
        kept = self._kept.get((name, dtype))
        if kept is None or len(kept) < count:
            kept = self._kept[name, dtype] = lasting((count,), like, dtype)
        return kept[:count].view(*shape)


Change = Callable[[Tensor, Window, str], Tensor]


def rewrite(x: Tensor, size: Size, margin: int, change: Change) -> None:
    """Replace (H, W, C) window by window by what `change` makes of it, in place.

    `change` gets a window with its margin, and returns it with the margin's rows dropped and its columns
    still there. A window is written when no other needs any more what it stands on: the last that does is
    its neighbour below on the right. So `change` also gets the name of a slot that is free meanwhile, to make
    its result there.
    """
    wait = len(split(x.shape[1], size[1])) if margin else 0
    waiting: deque[tuple[Window, Tensor]] = deque()
    for number, here in enumerate(windows(x.shape[0], x.shape[1], size)):
        result = change(here.of(x, margin), here, f"slot {number % (wait + 1)}")
        waiting.append((here, here.crop(result, margin)))
        if len(waiting) > wait:
            before, made = waiting.popleft()
            before.of(x).copy_(made)
    for here, made in waiting:
        here.of(x).copy_(made)
