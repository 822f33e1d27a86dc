"""Hyper-parameters: read off shapes, and shapes made from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drsformer_cli.errors import CheckpointError
from drsformer_cli.model.config import DRSformerConfig


@st.composite
def configs(draw: st.DrawFn) -> DRSformerConfig:
    dim = draw(st.sampled_from([4, 6, 8, 16]))
    return DRSformerConfig.create(
        dim,
        expansion=draw(st.sampled_from([1.0, 2.0, 2.66, 3.1])),
        blocks=tuple(draw(st.integers(1, 3)) for _ in range(4)),
        heads=tuple(draw(st.sampled_from([1, 2])) for _ in range(4)),
        mefc=draw(st.booleans()),
        bias=draw(st.booleans()),
        norm_bias=draw(st.booleans()),
    )


@given(configs())
@settings(max_examples=50)
def test_shapes_tell_the_configuration(config: DRSformerConfig) -> None:
    assert DRSformerConfig.from_shapes(config.shapes()) == config


@pytest.mark.parametrize("variant", ["mefc", "plain"])
def test_published_shapes(golden: Path, variant: str) -> None:
    shapes = {
        name: tuple(shape)
        for name, shape in json.loads((golden / f"parameters_{variant}.json").read_text()).items()
    }
    config = DRSformerConfig.from_shapes(shapes)
    assert config == DRSformerConfig(mefc=variant == "mefc")
    assert config.variant == variant
    assert config.shapes() == shapes


def test_a_refusal_names_the_nearest_variant_and_what_differs() -> None:
    shapes = DRSformerConfig.create(8, blocks=(1, 1, 1, 1), heads=(1, 1, 1, 1), mefc=False).shapes()
    wrong = {**shapes, "output.weight": (4, 16, 3, 3), "stray.weight": (1,)}
    del wrong["reduce_chan_level2.weight"]
    with pytest.raises(CheckpointError) as caught:
        DRSformerConfig.from_shapes(wrong)
    message = str(caught.value)
    assert "'plain' variant with dim 8" in message
    assert "missing: reduce_chan_level2.weight" in message
    assert "not expected: stray.weight" in message
    assert "output.weight is 4x16x3x3 instead of 3x16x3x3" in message


def test_another_architecture_is_refused_with_a_few_names_only() -> None:
    shapes = {f"layer{i}.weight": (64, 64, 3, 3) for i in range(50)}
    with pytest.raises(CheckpointError, match=r"not expected: layer0.weight.* and 47 more") as caught:
        DRSformerConfig.from_shapes(shapes)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        {"patch_embed.proj.weight": ()},
        {"patch_embed.proj.weight": (10**9, 3, 3, 3)},
    ],
)
def test_nonsense_is_refused_without_building_it(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(CheckpointError):
        DRSformerConfig.from_shapes(shapes)


@pytest.mark.parametrize(
    "changes",
    [
        {"dim": 7},
        {"heads": (3, 1, 1, 1)},
        {"blocks": (0, 1, 1, 1)},
        {"heads": (8, 1, 1, 1)},
        {"hidden": (1, 2)},
    ],
)
def test_impossible_numbers_are_refused(changes: dict[str, object]) -> None:
    values: dict[str, object] = {
        "dim": 8,
        "blocks": (1, 1, 1, 1),
        "heads": (1, 1, 1, 1),
        "hidden": (8, 8, 8, 8),
    }
    with pytest.raises(ValueError, match=r"dim|heads|blocks|hidden"):
        DRSformerConfig(**{**values, **changes})  # type: ignore[arg-type]
