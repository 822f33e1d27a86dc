"""The engine against the network computed word for word, in windows and lanes of every size."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from drsformer_cli.model.config import DRSformerConfig
from drsformer_cli.model.drsformer import DRSformer
from drsformer_cli.restore.banded import Banded
from tests.literal import KEPT, LiteralDRSformer
from tests.networks import FULL_INPUTS, full_case, full_size_tensors, tiny_case
from tests.restore.test_windows import LEAST_WINDOW

#: Entries of attention closer than this at a cut are a tie: either may be kept.
TIE = 1e-12
#: Largest difference in double precision, of the largest value.
EXACT = 1e-12


@dataclass(frozen=True)
class Case:
    """One network, one picture and one way to cut it."""

    config: DRSformerConfig
    size: tuple[int, int]
    window: tuple[int, int]
    lane: int
    seed: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    dim = 2 * draw(st.integers(2, 8), label="dim / 2")
    heads = [
        draw(st.sampled_from([n for n in range(1, 9) if channels % n == 0 and channels // n > 1]))
        for channels in (dim, 2 * dim, 4 * dim, 8 * dim)
    ]
    config = DRSformerConfig(
        dim=dim,
        blocks=tuple(draw(st.lists(st.integers(1, 2), min_size=4, max_size=4))),
        heads=tuple(heads),
        hidden=tuple(draw(st.lists(st.integers(1, 45), min_size=4, max_size=4))),
        mefc=draw(st.booleans()),
        bias=draw(st.booleans()),
        norm_bias=draw(st.booleans()),
    )
    eighths, window = st.integers(1, 10), st.integers(LEAST_WINDOW, 90)
    return Case(
        config,
        (8 * draw(eighths), 8 * draw(eighths)),
        (draw(window), draw(window)),
        draw(st.integers(1, 50), label="lane"),
        draw(st.integers(0, 1000), label="seed"),
    )


def random_network(config: DRSformerConfig, seed: int) -> DRSformer:
    """Return a network in double precision of which no parameter is 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    network = DRSformer(config).double().requires_grad_(False).eval()
    for parameter in network.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.double)
        if parameter.dim() in (2, 4):
            parameter.copy_(noise / parameter[0].numel() ** 0.5)
        else:
            parameter.copy_(0.5 + 0.2 * noise)
    return network


def restored(network: DRSformer, rainy: Tensor, dtype: torch.dtype = torch.double, **cut: object) -> Tensor:
    """Restore (1, 3, H, W) by the engine to the same."""
    engine = Banded(network, dtype, **cut)  # type: ignore[arg-type]
    return engine(rainy[0].permute(1, 2, 0).contiguous()).permute(2, 0, 1)[None]


def literally(network: DRSformer, rainy: Tensor) -> tuple[Tensor, bool]:
    """Restore (1, 3, H, W) word for word, and tell whether two entries of an attention tied at a cut."""
    ties = []

    def look(similarity: Tensor) -> None:
        entries, channels = similarity.sort(dim=-1, descending=True).values, similarity.shape[-1]
        cuts = [channels * numerator // denominator for numerator, denominator in KEPT]
        ties.append(any(bool((entries[..., k - 1] - entries[..., k] < TIE).any()) for k in cuts))

    literal = LiteralDRSformer(network.state_dict())
    literal.watch = look
    with torch.inference_mode():
        return literal(rainy), any(ties)


def difference(result: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    assert result.shape == expected.shape
    return float((result.double() - expected.double()).abs().max() / expected.abs().max())


def check_random_cases(number: int) -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=number, suppress_health_check=list(HealthCheck))
    @given(cases())
    def check(case: Case) -> None:
        network = random_network(case.config, case.seed)
        generator = torch.Generator().manual_seed(case.seed)
        rainy = torch.rand((1, 3, *case.size), generator=generator, dtype=torch.double)
        expected, tied = literally(network, rainy)
        seen["skipped" if tied else "compared"] += 1
        if not tied:
            assert difference(restored(network, rainy, window=case.window, lane=case.lane), expected) < EXACT

    check()
    assert seen["compared"] > 2 * seen["skipped"], seen


def test_random_networks_in_random_windows_equal_the_literal_network() -> None:
    check_random_cases(60)


@pytest.mark.slow
def test_many_random_networks_in_random_windows_equal_the_literal_network() -> None:
    check_random_cases(2000)


@pytest.mark.parametrize("hidden", range(1, 20))
def test_every_hidden_width_in_every_width_of_lanes(hidden: int) -> None:
    """Odd and even widths, whole and broken lanes, in one window and in several."""
    config = DRSformerConfig(
        dim=4, blocks=(1, 1, 1, 1), heads=(1, 1, 1, 1), hidden=(hidden,) * 4, mefc=False, bias=hidden % 3 == 0
    )
    network, rainy = random_network(config, hidden), torch.rand(1, 3, 24, 32, dtype=torch.double)
    expected, tied = literally(network, rainy)
    assert not tied
    for lane in (*range(1, hidden + 2), 64):
        window = ((16, 16), (1000, 1000))[lane % 2]
        assert difference(restored(network, rainy, window=window, lane=lane), expected) < EXACT, lane


def test_a_picture_whose_entries_tie_is_seen() -> None:
    """One of 8 x 8 pixels has one pixel at the coarsest level, where every similarity is 1 or -1."""
    config = DRSformerConfig(dim=4, blocks=(1, 1, 1, 1), heads=(1, 1, 1, 1), hidden=(8, 8, 8, 8), mefc=False)
    assert literally(random_network(config, 0), torch.rand(1, 3, 8, 8, dtype=torch.double))[1]
    assert not literally(random_network(config, 0), torch.rand(1, 3, 32, 32, dtype=torch.double))[1]


@pytest.mark.parametrize("window", [None, (16, 24)])
@pytest.mark.parametrize("name", ["mefc", "plain", "biasfree"])
def test_tiny_golden_networks(golden: Path, name: str, window: tuple[int, int] | None) -> None:
    tensors, rainy, expected = tiny_case(golden, name)
    double = DRSformer.from_state_dict({key: value.double() for key, value in tensors.items()})
    result = restored(double, rainy.double(), window=window)
    assert difference(result, literally(double, rainy.double())[0]) < EXACT
    assert difference(result, expected) < EXACT
    single = restored(DRSformer.from_state_dict(tensors), rainy, torch.float32, window=window)
    assert (single - expected).abs().quantile(0.999) < 2e-5


@pytest.mark.parametrize(
    ("variant", "name"),
    [  # crosswise, the rest of the four takes as long again
        pytest.param(variant, name, marks=[] if v == n else pytest.mark.slow)
        for v, variant in enumerate(("mefc", "plain"))
        for n, name in enumerate(FULL_INPUTS)
    ],
)
def test_full_size_golden_networks(golden: Path, variant: str, name: str) -> None:
    """In windows that cut the picture both ways; in fp32 a tie within rounding may go either way in one."""
    rainy, expected = full_case(golden, variant, name)
    tensors = full_size_tensors(golden, variant)
    double = DRSformer.from_state_dict({key: value.double() for key, value in tensors.items()})
    result = restored(double, rainy.double(), window=(40, 48))
    assert difference(result, expected) < EXACT
    network, errors = DRSformer.from_state_dict(tensors), []
    for window in (None, (40, 48)):
        single = restored(network, rainy, torch.float32, window=window)
        errors.append(float((single - expected).abs().quantile(0.999)))
    assert min(errors) < 2e-5
    assert max(errors) < 0.05


@pytest.mark.parametrize("mefc", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_lower_precisions_are_near(mefc: bool, bias: bool) -> None:
    """Residual added on, as the picture is: what counts is the difference of the restored pictures."""
    config = DRSformerConfig.create(16, blocks=(1, 1, 1, 1), heads=(1, 2, 2, 4), mefc=mefc, bias=bias)
    network = random_network(config, 3)
    network.output.weight *= 0.1
    rainy = torch.rand((1, 3, 48, 64), dtype=torch.double, generator=torch.Generator().manual_seed(1))
    expected, _ = literally(network, rainy)
    single = network.float()
    for dtype, near in ((torch.float32, 1e-4), (torch.bfloat16, 3e-2)):
        result = restored(single, rainy.float(), dtype, window=(24, 32))
        assert result.dtype == torch.float32
        error = (result.double() - expected).abs().quantile(0.99) / expected.abs().max()
        assert error < near, dtype


def test_one_engine_serves_pictures_of_all_sizes_in_any_order() -> None:
    """What it keeps from one picture, memory and lanes, changes nothing of the next."""
    config = DRSformerConfig(
        dim=6, blocks=(1, 1, 1, 1), heads=(1, 2, 2, 4), hidden=(9, 16, 33, 20), mefc=True, bias=True
    )
    network, generator = random_network(config, 7), torch.Generator().manual_seed(7)
    engine = Banded(network, torch.double, window=(24, 40))
    for size in ((24, 40), (104, 88), (16, 32), (32, 160), (104, 88)):
        rainy = torch.rand((*size, 3), generator=generator, dtype=torch.double)
        before = rainy.clone()
        expected, tied = literally(network, rainy.permute(2, 0, 1)[None])
        assert not tied
        assert difference(engine(rainy).permute(2, 0, 1)[None], expected) < EXACT, size
        assert rainy.equal(before)


def test_results_are_not_overwritten_by_the_next_picture() -> None:
    network = random_network(DRSformerConfig.create(4, blocks=(1, 1, 1, 1), heads=(1, 1, 1, 1)), 8)
    engine = Banded(network, torch.double)
    first = engine(torch.rand(32, 32, 3, dtype=torch.double))
    kept = first.clone()
    engine(torch.rand(32, 32, 3, dtype=torch.double))
    assert first.equal(kept)


def test_windows_do_not_change_what_bf16_sees() -> None:
    """In half precision only the features' rounding differs from window to window."""
    config = DRSformerConfig.create(16, blocks=(1, 1, 1, 1), heads=(1, 2, 2, 4), mefc=True)
    network = random_network(config, 5).float()
    rainy = torch.rand((1, 3, 48, 64), generator=torch.Generator().manual_seed(2))
    whole, cut = (restored(network, rainy, torch.bfloat16, window=window) for window in (None, (16, 24)))
    assert difference(cut, whole) < 3e-2


def test_a_network_with_all_that_can_be_switched_on() -> None:
    """What a model has and the engine or the oracle forgets is found, though no case draws it yet."""
    switches = {each.name: True for each in fields(DRSformerConfig) if each.type == "bool"}
    config = DRSformerConfig(dim=4, blocks=(1,) * 4, heads=(1,) * 4, hidden=(5,) * 4, **switches)  # type: ignore[arg-type]
    network = random_network(config, 3)
    rainy = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(4), dtype=torch.double)
    expected = network(rainy)
    assert difference(restored(network, rainy), expected) < EXACT
    assert difference(literally(network, rainy)[0], expected) < EXACT
