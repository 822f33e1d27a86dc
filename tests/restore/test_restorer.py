"""Pictures of every size and dtype through a network, whole, in tiles, in halves, and out of memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import drsformer_cli as derain
from drsformer_cli.errors import (
    CheckpointError,
    DeviceError,
    InputError,
    MemoryLimitError,
    UsageError,
    WeightsError,
)
from drsformer_cli.model.drsformer import DRSformer
from drsformer_cli.restore.plan import check_tile
from drsformer_cli.restore.restorer import Restorer, out_of_memory
from tests.networks import full_size_tensors, small_network

CPU = torch.device("cpu")
NETWORK = small_network()


def restorer(**options: object) -> Restorer:
    return Restorer(NETWORK, device=CPU, **options)  # type: ignore[arg-type]


def noise(height: int, width: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype is np.float32:
        return rng.random((height, width, 3), np.float32)
    return rng.integers(0, np.iinfo(dtype).max + 1, (height, width, 3), dtype)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([np.uint8, np.uint16, np.float32]))
@settings(max_examples=60)
def test_any_size_and_dtype_comes_back_as_it_was(height: int, width: int, dtype: type) -> None:
    rainy = noise(height, width, dtype)
    before = rainy.copy()
    clean = restorer()(rainy)
    assert (clean.shape, clean.dtype) == (rainy.shape, rainy.dtype)
    assert np.array_equal(rainy, before)


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([np.uint8, np.uint16, np.float32]))
@settings(max_examples=50)
def test_strength_zero_is_the_input(height: int, width: int, dtype: type) -> None:
    rainy = noise(height, width, dtype)
    assert np.array_equal(restorer(strength=0.0)(rainy), rainy)


def test_strength_blends() -> None:
    rainy = noise(24, 32, np.float32)
    full = restorer()(rainy)
    np.testing.assert_allclose(restorer(strength=0.25)(rainy), rainy + 0.25 * (full - rainy), atol=1e-6)


def test_the_network_sees_the_picture_reflected_at_the_bottom_and_right() -> None:
    rainy = noise(13, 18, np.float32)
    wide = np.pad(rainy, ((0, 3), (0, 6), (0, 0)), mode="reflect")
    direct = NETWORK(torch.from_numpy(wide).permute(2, 0, 1)[None])[0].permute(1, 2, 0).clamp(0, 1)
    np.testing.assert_allclose(restorer()(rainy), direct[:13, :18].numpy(), atol=1e-6)


def test_depths_agree() -> None:
    rainy = noise(16, 24)
    deep = restorer()(rainy.astype(np.uint16) * 257)
    assert np.abs(restorer()(rainy).astype(int) - np.rint(deep / 257)).max() <= 1


def stand_in(answer: Callable[[Tensor], Tensor], **options: object) -> Restorer:
    """Return a restorer in which `answer` stands in for the network, where only its answer matters."""
    return restorer(organise=lambda network, dtype: answer, **options)


def mirror(x: Tensor) -> Tensor:
    """See a direction: add what lies a pixel to the left."""
    return (x + x.roll(1, dims=1)) / 2


def test_the_ensemble_is_the_mean_over_eight_flips_and_turns() -> None:
    rainy = noise(16, 24, np.float32)
    model = stand_in(mirror, ensemble=True)
    shifts = sum(np.roll(rainy, step, axis=axis) for axis in (0, 1) for step in (-1, 1))
    np.testing.assert_allclose(model(rainy), rainy / 2 + shifts / 8, atol=1e-6)


def test_a_network_that_knows_falling_rain_only_is_not_turned_on_its_side() -> None:
    rainy = noise(16, 24, np.float32)
    model = stand_in(mirror, ensemble=True, turns=False)
    shifts = np.roll(rainy, 1, axis=1) + np.roll(rainy, -1, axis=1)
    np.testing.assert_allclose(model(rainy), rainy / 2 + shifts / 4, atol=1e-6)


def test_a_models_file_says_which_views_it_knows(golden: Path, tmp_path: Path) -> None:
    assert len(derain.load(golden / "tiny_mefc.pth", device="cpu", ensemble=True).views) == 8
    assert len(derain.load("compact", device="cpu", ensemble=True).views) == 4
    assert len(derain.load("compact", device="cpu").views) == 1


def test_bf16_is_near_fp32() -> None:
    rainy = noise(40, 40, np.float32)
    difference = np.abs(restorer(precision="bf16")(rainy) - restorer()(rainy))
    assert 0 < difference.mean() < 0.02


def test_what_is_not_finite_in_half_precision_is_done_again_in_full() -> None:
    rainy = noise(8, 8)
    asked = []

    def organise(network: DRSformer, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        asked.append(dtype)
        return lambda x: x * float("nan") if dtype == torch.bfloat16 else x

    model = restorer(precision="bf16", organise=organise)
    assert np.array_equal(model(rainy), rainy)
    assert np.array_equal(model(rainy), rainy)
    assert asked == [torch.bfloat16, torch.float32]  # made when it is needed, and once


def test_a_network_without_numbers_makes_no_picture() -> None:
    with pytest.raises(CheckpointError, match="no numbers"):
        stand_in(lambda x: x * float("inf"))(noise(8, 8))


def test_a_picture_with_nan_is_refused() -> None:
    rainy = noise(8, 8, np.float32)
    rainy[3, 4, 1] = np.nan
    with pytest.raises(UsageError, match="NaN"):
        restorer()(rainy)


@pytest.mark.parametrize("wrong", [255.0, 1.0001, -0.001])
def test_a_picture_beyond_its_range_is_refused(wrong: float) -> None:
    rainy = np.linspace(0, 1, 192, dtype=np.float32).reshape(8, 8, 3)
    restorer()(rainy)
    rainy[1, 2, 0] = wrong
    with pytest.raises(UsageError, match=r"must be in \[0, 1\], and this one goes from "):
        restorer()(rainy)


class Hungry:
    """Runs out of memory above a number of pixels, as a device does."""

    def __init__(self, most: int, error: Exception) -> None:
        self.most, self.error, self.seen = most, error, []

    def __call__(self, x: Tensor) -> Tensor:
        self.seen.append(tuple(x.shape[:2]))
        if x.shape[0] * x.shape[1] > self.most:
            raise self.error
        return x


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
    ],
)
def test_out_of_memory_halves_the_tile_and_goes_on(error: Exception) -> None:
    rainy = noise(300, 200)
    network = Hungry(100 * 100, error)
    model = stand_in(network)
    restored, plan = model.restore(rainy)
    assert np.array_equal(restored, rainy)
    assert network.seen[0] == (304, 200)
    assert network.seen[-1] == (80, 64)
    # what was done is told, not what was planned
    assert (plan["whole"], plan["tile"]) == (False, (80, 64))
    assert model.describe(300, 200)["whole"]


def test_off_means_whole_or_not_at_all() -> None:
    network = Hungry(100 * 100, MemoryError())
    with pytest.raises(InputError, match="leave out --tile off"):
        stand_in(network, tile="off")(noise(300, 200))
    assert network.seen == [(304, 200)]


def test_when_not_even_the_smallest_tile_fits_it_says_so() -> None:
    with pytest.raises(MemoryLimitError, match="do not fit"):
        stand_in(Hungry(0, MemoryError()))(noise(64, 64))
    with pytest.raises(InputError, match="do not fit"):  # a smaller picture may
        stand_in(Hungry(0, MemoryError()))(noise(300, 200))


def test_other_errors_are_not_taken_for_memory() -> None:
    assert not out_of_memory(RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        stand_in(Hungry(0, RuntimeError("shapes differ")))(noise(16, 16))


@pytest.mark.parametrize(
    "rainy",
    [
        noise(4, 4)[..., 0],
        noise(4, 4)[..., :2],
        noise(4, 4).astype(np.float64),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(rainy: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"\(H, W, 3\)"):
        restorer()(rainy)


@pytest.mark.parametrize(
    "options",
    [{"strength": 1.5}, {"strength": -0.1}, {"tile": 60}, {"tile": 100}, {"tile": "big"}, {"overlap": -1},
     {"tile": 64, "overlap": 40}, {"memory": 0}],
)  # fmt: skip
def test_nonsense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        restorer(**options)


def test_tiles_given_as_words_or_numbers_are_the_same() -> None:
    assert check_tile("128", 32) == check_tile(128, 32) == 128


def test_devices_and_precisions_that_are_not_here_are_errors(golden: Path) -> None:
    model = golden / "tiny_mefc.pth"
    with pytest.raises(UsageError, match="unknown device"):
        derain.load(model, device="tpu")
    with pytest.raises(UsageError, match="unknown precision"):
        derain.load(model, device="cpu", precision="int8")
    with pytest.raises(DeviceError, match="fp16"):
        derain.load(model, device="cpu", precision="fp16")
    with pytest.raises(DeviceError, match="cuda:99"):
        derain.load(model, device="cuda:99")
    with pytest.raises(WeightsError):
        derain.load("no-such-model")


def test_settings_tell_models_and_options_apart(golden: Path) -> None:
    first = derain.load(golden / "tiny_mefc.pth", device="cpu")
    second = derain.load(golden / "tiny_plain.pth", device="cpu")
    assert first.settings["model"] != second.settings["model"]
    assert first.settings != derain.load(golden / "tiny_mefc.pth", device="cpu", strength=0.5).settings
    assert first.describe(75, 101)["tile"] == (80, 104)
    assert first.describe(75, 101)["whole"]


def test_all_forms_of_a_network_are_the_same(golden: Path) -> None:
    """The public network and the public restorer do the same to a picture."""
    tensors = torch.load(golden / "tiny_mefc.pth", weights_only=True)["params"]
    rainy = noise(40, 56, np.float32)
    direct = derain.DRSformer.from_state_dict(tensors)(torch.from_numpy(rainy).permute(2, 0, 1)[None])
    loaded = derain.load(golden / "tiny_mefc.pth", device="cpu")(rainy)
    np.testing.assert_allclose(loaded, direct[0].permute(1, 2, 0).clamp(0, 1).numpy(), atol=2e-5)


@pytest.mark.parametrize("variant", ["mefc", "plain"])
def test_the_pattern_is_what_the_authors_script_writes(golden: Path, variant: str) -> None:
    tensors = full_size_tensors(golden, variant)
    tensors["output.weight"] *= 0.02
    model = Restorer(DRSformer.from_state_dict(tensors), device=CPU)
    restored = model(np.asarray(Image.open(golden / "pattern.png").convert("RGB"))).astype(int)
    difference = np.abs(restored - np.asarray(Image.open(golden / f"pattern_{variant}.png").convert("RGB")))
    assert difference.max() <= 1
    assert (difference == 0).mean() >= 0.999


def test_a_resumed_run_rests_its_plans_on_what_the_earlier_one_did() -> None:
    threads = torch.get_num_threads()
    model = restorer(memory=3 << 30)
    plan = model.describe(64, 64)
    other = restorer()
    assert other.describe(64, 64) != plan
    other.go_on_as(plan)
    assert other.describe(64, 64) == plan
    # there is no more memory than there is, and nonsense in a manifest changes nothing
    for nonsense in ({"limit": 1 << 60}, {"limit": "4G", "threads": -1}, {"threads": 1 << 20}, {}):
        other.go_on_as(nonsense)
        assert other.describe(64, 64) == plan
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("named", "expected"), [(None, 1), ("2", 2)])
def test_a_resumed_run_takes_no_more_threads_than_before_unless_told(
    named: str | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if named is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", named)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        restorer().go_on_as({"threads": 1})
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(threads)
