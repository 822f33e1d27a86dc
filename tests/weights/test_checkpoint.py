"""Reading a checkpoint: every form it comes in, and every kind that is none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from drsformer_cli.errors import CheckpointError
from drsformer_cli.weights import fingerprint, read
from tests.weights.samples import GOLDEN, PLAIN, WRONG, Tensors, bomb, code, full, tiny


def same(first: Tensors, second: Tensors) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", ["tiny_plain", "tiny_mefc", "tiny_biasfree"])
def test_the_published_form(name: str, golden: Path) -> None:
    checkpoint = read(golden / f"{name}.pth")
    assert same(checkpoint.tensors, tiny(golden / f"{name}.pth"))
    assert checkpoint.config.variant == ("mefc" if "mefc" in name else "plain")


@pytest.mark.parametrize("form", ["params", "params_ema", "state_dict", "bare"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("old", [False, True])
def test_every_form_of_pth(form: str, prefix: str, old: bool, tmp_path: Path) -> None:
    tensors = {prefix + name: value for name, value in tiny().items()}
    path = tmp_path / "model.pth"
    content = tensors if form == "bare" else {"epoch": 3, form: tensors}
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    assert same(read(path).tensors, tiny())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ""])
def test_safetensors_under_any_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    save_file(tiny(), path, {"made": "here"})
    assert same(read(path).tensors, tiny())


def test_params_come_before_params_ema(tmp_path: Path) -> None:
    other = {name: value + 1 for name, value in tiny().items()}
    torch.save({"params_ema": other, "params": tiny()}, tmp_path / "two.pth")
    assert same(read(tmp_path / "two.pth").tensors, tiny())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_stored_precision_stays(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.save({"params": {name: value.to(dtype) for name, value in tiny().items()}}, tmp_path / "m.pth")
    assert {value.dtype for value in read(tmp_path / "m.pth").tensors.values()} == {dtype}


@pytest.mark.parametrize("variant", ["plain", "mefc"])
def test_full_size(variant: str, tmp_path: Path) -> None:
    checkpoint = read(full(variant, tmp_path / "full.pth"))
    assert checkpoint.config.variant == variant
    assert (
        sum(value.numel() for value in checkpoint.tensors.values())
        == {"plain": 32_610_304, "mefc": 33_655_424}[variant]
    )


@pytest.mark.parametrize("kind", WRONG)
def test_each_wrong_kind_is_refused_in_one_sentence(kind: str, tmp_path: Path) -> None:
    make, word = WRONG[kind]
    path = tmp_path / "wrong.pth"
    make(path)
    with pytest.raises(CheckpointError) as caught:
        read(path)
    message = str(caught.value)
    assert word in message
    assert message.startswith(str(path))
    assert message.isprintable()
    assert len(message) < 400


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        read(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="does not exist"):
        fingerprint(tmp_path / "none.pth")


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle", "old pickle"])
def test_code_in_a_pickle_is_named_and_not_run(form: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = code(tmp_path / "evil.pth", marker, form)
    with pytest.raises(CheckpointError, match=r"holds code .*\((posix|nt|os)\.system\).* not run"):
        read(path)
    assert not marker.exists()


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.pth"
    with path.open("wb") as file:
        file.truncate(3 * 1024**3)  # sparse: takes no room
    with pytest.raises(CheckpointError, match="too big"):
        read(path)
    with pytest.raises(CheckpointError, match="too big"):
        read(PLAIN, limit=1000)


def test_an_archive_that_unpacks_to_too_much(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.pth")
    assert path.stat().st_size < 1 << 20
    with pytest.raises(CheckpointError, match="unpacks to more"):
        read(path, limit=32 << 20)


def test_the_label_stands_for_the_path(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"^what came is empty$"):
        read(tmp_path / "secret", label="what came")


def test_the_hash_is_that_of_the_bytes_the_tensors_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.pth"
    path.write_bytes(PLAIN.read_bytes())
    load = torch.load

    def replaced_meanwhile(*args: object, **options: object) -> object:
        path.write_bytes(b"another file")
        return load(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "load", replaced_meanwhile)
    checkpoint = read(path)
    assert checkpoint.sha256 == fingerprint(PLAIN)
    assert path.read_bytes() == b"another file"


def test_fingerprint_is_sha256() -> None:
    assert fingerprint(PLAIN) == hashlib.sha256(PLAIN.read_bytes()).hexdigest()


SMALL = (GOLDEN / "tiny_biasfree.pth").read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, len(SMALL)),
    changes=st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=8),
    near_end=st.booleans(),
)
def test_a_damaged_file_is_read_right_or_refused(
    cut: int, changes: list[tuple[int, int]], near_end: bool, tmp_path: Path
) -> None:
    """Whatever is done to the bytes, nothing but `CheckpointError` comes, and no value is ever wrong."""
    data = bytearray(SMALL)
    for position, value in changes:
        # Half of the changes go to the directory at the end and the pickle at the start, not to values.
        data[-1 - position % 4000 if near_end else position % (6000 if position % 2 else len(SMALL))] = value
    path = tmp_path / "damaged.pth"
    path.write_bytes(data if near_end else data[:cut] if cut % 3 == 0 else data)
    try:
        tensors = read(path).tensors
    except CheckpointError:
        return
    assert same(tensors, tiny(GOLDEN / "tiny_biasfree.pth"))


def _legacy(tensors: Tensors, path: Path) -> bytes:
    torch.save({"params": tensors}, path, _use_new_zipfile_serialization=False)
    return path.read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=4))
@pytest.mark.parametrize("form", ["legacy", "safetensors"])
def test_a_file_without_checksum_never_raises_anything_else(
    form: str, changes: list[tuple[int, int]], tmp_path: Path
) -> None:
    """The parts that say what the bytes mean are damaged: the file is sound still, or it is refused."""
    path = tmp_path / "damaged"
    if form == "legacy":
        data, where = bytearray(_legacy(tiny(GOLDEN / "tiny_biasfree.pth"), path)), 30_000
    else:
        save_file(tiny(GOLDEN / "tiny_biasfree.pth"), path)
        data, where = bytearray(path.read_bytes()), 20_000
    for position, value in changes:
        data[position % where] = value
    path.write_bytes(data)
    try:
        tensors = read(path).tensors
    except CheckpointError:
        return
    assert len(tensors) == 188
    assert all(bool(value.isfinite().all()) for value in tensors.values())
