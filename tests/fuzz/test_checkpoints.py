"""Hostile checkpoints: headers that lie, bombs, code. Read right or refused, and nothing in them is run."""

from __future__ import annotations

import pickle
import pickletools
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from drsformer_cli.errors import CheckpointError
from drsformer_cli.weights import Store, import_file, read
from drsformer_cli.weights.sniff import foreign_name
from tests.fuzz.cage import Cage
from tests.fuzz.campaign import Case, Table
from tests.fuzz.checkpoints import attempt, lie
from tests.fuzz.mutate import ATTACKS, mutate
from tests.weights.samples import PLAIN, Touches, code, tiny

SMALL = PLAIN.with_name("tiny_biasfree.pth")


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage(attempt, memory=4 << 30) as running:
        yield running


def headers(cage: Cage, seed: int, trials: int) -> Table:
    """Safetensors whose headers lie."""
    sound, table = save(tiny(SMALL)), Table()
    for number in range(trials):
        word = f"{seed}/{number}"
        case = Case("model.safetensors", "headers that lie", word, lie(sound, random.Random(word)))
        table.take(case, cage(case.data))
    return table


def hurt(cage: Cage, seed: int, trials: int) -> Table:
    """Files of each kind with bytes changed where they say what the rest means."""
    safe, table = save(tiny(SMALL)), Table()
    kinds = {".pth": SMALL.read_bytes(), ".safetensors": safe}
    for number in range(trials):
        suffix, word = (".pth", ".safetensors")[number % 2], f"{seed}/{number}"
        attack = list(ATTACKS)[number % 7]
        case = Case(f"m{suffix}", attack, word, mutate(attack, kinds[suffix], safe, word))
        table.take(case, cage(case.data, suffix))
    return table


def check(table: Table, trials: int) -> None:
    assert not table.failures, "\n".join(f"{case}: {outcome}" for case, outcome in table.failures)
    assert table.trials == trials


def test_headers_that_lie(cage: Cage) -> None:
    table = headers(cage, 1, 40)
    check(table, 40)
    assert table.rows["headers that lie"]["refused"] > 20


def test_bytes_changed(cage: Cage) -> None:
    check(hurt(cage, 2, 40), 40)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many(cage: Cage) -> None:
    check(headers(cage, 3, 2000), 2000)
    check(hurt(cage, 4, 1000), 1000)


def test_an_archive_whose_places_lie(tmp_path: Path) -> None:
    """Found: a member that is said to lie before the file's beginning."""
    hurt = SMALL.read_bytes()
    at = hurt.rindex(b"PK\x05\x06")
    hurt = (
        hurt[: at + 16]
        + struct.pack("<I", struct.unpack_from("<I", hurt, at + 16)[0] + 5000)
        + hurt[at + 20 :]
    )
    (tmp_path / "m.pth").write_bytes(hurt)
    assert foreign_name(tmp_path / "m.pth") is None
    assert attempt(hurt, ".pth") in ("whole", "refused")


class Calls:
    """Pickles to a call of any function by its name."""

    def __init__(self, function: Callable[..., object], *words: object) -> None:
        self.function, self.words = function, words

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.function, self.words


def by_name(module: str, name: str, argument: str) -> bytes:
    """A pickle that imports by name, for what may not be imported here."""
    return f"c{module}\n{name}\n(S{argument!r}\ntR.".encode()


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle", "old pickle"])
def test_code_is_not_run_by_an_import(form: str, tmp_path: Path) -> None:
    marker, store = tmp_path / "ran", Store(tmp_path / "cache")
    path = code(tmp_path / "evil.pth", marker, form)
    with pytest.raises(CheckpointError, match="not run"):
        import_file(path, store=store)
    assert not marker.exists()
    assert store.names() == []


@pytest.mark.parametrize(
    "words",
    [
        *(("builtins", "eval"), ("builtins", "exec"), ("os", "system"), ("subprocess", "getoutput")),
        *(("torch", "load"), ("torch.serialization", "load"), ("torch.utils.collect_env", "run")),
        *(("torch.hub", "load_state_dict_from_url"), ("numpy", "load"), ("pickle", "loads")),
        *(("torch.storage", "_load_from_bytes"), ("torch._utils", "_import_dotted_name")),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_no_name_is_ever_called(words: tuple[str, str], packed: bool, tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "evil.pth"
    data = by_name(*words, f"__import__('pathlib').Path({str(marker)!r}).touch()")
    assert any(opcode.name == "REDUCE" for opcode, _, _ in pickletools.genops(data))
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", data)
            archive.writestr("archive/version", "3\n")
    else:
        path.write_bytes(data)
    with pytest.raises(CheckpointError):
        read(path)
    assert not marker.exists()


def test_code_behind_sound_tensors(tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "evil.pth"
    torch.save({"params": tiny(SMALL), "optimizer": Touches(marker)}, path)
    with pytest.raises(CheckpointError, match="besides tensors"):
        read(path)
    assert not marker.exists()


def test_a_pickle_that_asks_for_all_memory(tmp_path: Path) -> None:
    wanted = pickle.dumps(Calls(bytearray, 1 << 40))
    long = b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x."
    nested = b"\x80\x04" + b"(" * 2_000_000 + b"."
    memo = b"\x80\x04N" + b"r\xff\xff\xff\x7f" + b"."
    double = b"\x80\x04]q\x00" + b"(h\x00h\x00eh\x00" * 40 + b"."
    with Cage(attempt, memory=2 << 30) as cage:
        for data in (wanted, long, nested, memo, double):
            assert cage(data, ".pth") == "refused", data[:40]


@pytest.mark.slow
@pytest.mark.parametrize("member", ["archive/data.pkl", "archive/data/0"])
def test_a_bomb_of_gigabytes_is_refused_before_it_unpacks(member: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    block = bytes(1 << 24)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(member, "w", force_zip64=True) as file,
    ):
        for _ in range(160):
            file.write(block)
    assert path.stat().st_size < 1 << 24
    with Cage(attempt, memory=2 << 30) as cage:
        assert cage(path.read_bytes(), ".pth") == "refused"


def test_an_archive_that_lies_about_what_it_unpacks_to(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/data/0", bytes(100 << 20))
    data = path.read_bytes().replace(struct.pack("<I", 100 << 20), struct.pack("<I", 100))
    with Cage(attempt, memory=1 << 30) as cage:
        assert cage(data, ".pth") == "refused"


@pytest.mark.parametrize("count", [1_000, pytest.param(5_000, marks=pytest.mark.slow)])
def test_a_directory_of_thousands_of_members(tmp_path: Path, count: int) -> None:
    path = tmp_path / "many.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(f"archive/data/{number}", b"")
    with Cage(attempt) as cage:
        assert cage(path.read_bytes(), ".pth") == "refused"
