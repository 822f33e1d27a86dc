"""Which names belong together."""

from __future__ import annotations

import time
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drsformer_cli.errors import UsageError
from drsformer_cli.quality.pairing import Pairing, pair


def names(*words: str) -> list[PurePath]:
    return [PurePath(word) for word in words]


def paired(found: Pairing) -> dict[str, str]:
    return {ours.as_posix(): theirs.as_posix() for ours, theirs in found.pairs.items()}


@pytest.mark.parametrize(
    ("clean", "restored"),
    [
        ("1.png", "1.jpg"),
        ("norain-001.png", "rain-001.png"),
        ("norain-1x2.png", "rain-1x2.png"),
        ("norain-1.png", "rain-001x2.png"),
        ("1_GT.png", "1_DR.png"),
        ("1_clean.png", "1_rain.jpg"),
        ("1.png", "1_derained.png"),
        ("1.png", "1x2.png"),
        ("0001.png", "1.png"),
        ("000gt.png", "000.png"),
        ("IMG_0007.JPG", "img_0007_out.png"),
        ("target_12.png", "12.png"),
        ("gt/1.png", "out/1.png"),
        ("heavy/1.png", "heavy/1.webp"),
        ("rain.png", "rain.jpg"),
        ("cafe\u0301.png", "caf\xe9.png"),
    ],
)
def test_the_fields_habits(clean: str, restored: str) -> None:
    found = pair(names(clean), names(restored))
    assert paired(found) == {restored: clean}
    assert not (found.missing)
    assert not (found.extra)
    assert not (found.doubled)


@pytest.mark.parametrize(
    ("clean", "restored"),
    [("1.png", "11.png"), ("1.png", "2.png"), ("norain-1.png", "rain-2.png"), ("a/1.png", "b/2.png")],
)
def test_other_names_stay_apart(clean: str, restored: str) -> None:
    found = pair(names(clean), names(restored))
    assert found == Pairing({}, names(clean), names(restored), [])


def test_sub_folders_tell_equal_names_apart() -> None:
    both = names("heavy/1.png", "light/1.png")
    assert paired(pair(both, both)) == {"heavy/1.png": "heavy/1.png", "light/1.png": "light/1.png"}
    found = pair(both, names("out/1.png"))
    assert not found.pairs
    assert (found.missing, found.extra) == (both, names("out/1.png"))


def test_several_rainy_versions_of_one_picture() -> None:
    found = pair(names("1.jpg", "2.jpg"), names("1_1.jpg", "1_2.jpg", "2_1.jpg", "3_1.jpg"))
    assert paired(found) == {"1_1.jpg": "1.jpg", "1_2.jpg": "1.jpg", "2_1.jpg": "2.jpg"}
    assert (found.missing, found.extra) == ([], names("3_1.jpg"))


def test_versions_are_not_guessed_where_clean_names_look_like_them() -> None:
    found = pair(names("heavy_0.png", "heavy.png"), names("heavy_1.png"))
    assert not found.pairs


def test_doubled_ones_are_told_and_not_compared() -> None:
    found = pair(names("1.png", "2.png"), names("1.png", "1.jpg", "2.png"))
    assert paired(found) == {"2.png": "2.png"}
    assert found.doubled == [("restored", names("1.png", "1.jpg"))]
    found = pair(names("1_GT.png", "1_clean.png"), names("1.png"))
    assert found.doubled == [("clean", names("1_GT.png", "1_clean.png"))]
    assert not found.pairs


def test_extensions_tell_apart_what_is_called_alike() -> None:
    both = names("a.jpg", "a.png")
    assert paired(pair(both, both)) == {"a.jpg": "a.jpg", "a.png": "a.png"}
    found = pair(both, names("a.png", "a.jpg.png"))  # derain's own names, where both would become a.png
    assert paired(found) == {"a.png": "a.png", "a.jpg.png": "a.jpg"}
    assert not found.doubled
    longer = names("a.jpg", "a.jpg.png")
    assert paired(pair(longer, longer)) == {"a.jpg": "a.jpg", "a.jpg.png": "a.jpg.png"}


def test_an_extension_more_in_folders_that_are_strange_to_each_other() -> None:
    found = pair(names("gt/a.jpg", "gt/b.jpg"), names("out/a.jpg.png", "out/b.png"))
    assert paired(found) == {"out/a.jpg.png": "gt/a.jpg", "out/b.png": "gt/b.jpg"}


def test_doubled_ones_are_told_in_order() -> None:
    clean = names("b_GT.png", "b_clean.png", "a.png", "c_GT.png", "c_clean.png")
    restored = names("c.png", "b.png", "a_x2.png", "a_out.png", "a_dr.jpg")
    assert pair(clean, restored).doubled == [
        ("clean", names("b_GT.png", "b_clean.png")),
        ("clean", names("c_GT.png", "c_clean.png")),
        ("restored", names("a_x2.png", "a_out.png", "a_dr.jpg")),
    ]


def test_the_first_of_their_names_orders_the_doubled() -> None:
    found = pair(names("gt_1.png", "1_gt.png", "clean_2.png", "target_2.png"), names("1.png", "2.png"))
    assert [group[0].name for _, group in found.doubled] == ["clean_2.png", "gt_1.png"]


def test_many_names_take_no_long_time() -> None:
    many = names(*(f"{index}.png" for index in range(20_000)))
    begun = time.process_time()
    assert len(pair(many, many).pairs) == 20_000
    assert time.process_time() - begun < 8


def test_an_exact_name_goes_before_a_habit() -> None:
    found = pair(names("1.png", "1_clean.png"), names("1.png", "1_clean.png"))
    assert paired(found) == {"1.png": "1.png", "1_clean.png": "1_clean.png"}


def test_a_pattern_of_ones_own() -> None:
    found = pair(names("scene7-truth.png", "x.png"), names("result-of-7.png"), pattern=r"(\d+)")
    assert paired(found) == {"result-of-7.png": "scene7-truth.png"}
    assert found.missing == names("x.png")
    found = pair(names("a/1.png", "b/1.png"), names("b/1.png"), pattern=r"^(\w)/(\d)$")
    assert paired(found) == {"b/1.png": "b/1.png"}
    found = pair(names("1a.png", "1b.png"), names("1.png"), pattern=r"(\d)")
    assert found.doubled == [("clean", names("1a.png", "1b.png"))]
    found = pair(names("scene12/truth_3.png"), names("out3/12.png"), pattern=r"(?:scene(\d+)|out(\d+))")
    assert not found.pairs
    found = pair(names("scene12/1.png", "x12y/2.png"), names("take12/9.png"), pattern=r"[a-z]{4,}(\d)(\d)/")
    assert paired(found) == {"take12/9.png": "scene12/1.png"}
    found = pair(names("a1b23.png"), names("a12b3.png"), pattern=r"a(\d+)b(\d+)")
    assert not found.pairs  # 1 and 23 are not 12 and 3
    with pytest.raises(UsageError, match=r"--pair \( is no regular expression"):
        pair(names("1"), names("1"), pattern="(")
    with pytest.raises(UsageError, match=r"--pair \\d\+ has no group"):
        pair(names("1"), names("1"), pattern=r"\d+")


words = st.lists(
    st.from_regex(r"(?:a/|b/)?(?:rain-|norain-)?[0-3x]{1,3}(?:_GT|_DR|x2)?\.(?:png|jpg)", fullmatch=True),
    max_size=9,
    unique=True,
)


@given(words, words)
def test_every_name_is_accounted_for_once(clean: list[str], restored: list[str]) -> None:
    found = pair(names(*clean), names(*restored))
    doubled = {
        side: [n for s, group in found.doubled if s == side for n in group] for side in ("clean", "restored")
    }
    one_side = [*found.pairs, *found.extra]
    assert len(one_side) == len(set(one_side))
    assert set(doubled["restored"]) <= set(names(*restored))
    told = {*one_side, *doubled["restored"], *found.missing, *found.pairs.values(), *doubled["clean"]}
    # a name whose only partner is doubled is told by that: it is among neither the pairs nor the rest
    lost = {*names(*clean), *names(*restored)} - told
    assert not lost or found.doubled


@given(words)
def test_a_folder_pairs_with_itself(both: list[str]) -> None:
    found = pair(names(*both), names(*both))
    doubled = [name for _, group in found.doubled for name in group]
    assert {*found.pairs, *doubled} == set(names(*both))
    assert all(ours == theirs for ours, theirs in found.pairs.items())
