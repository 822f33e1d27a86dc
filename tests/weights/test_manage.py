"""Finding, importing and verifying models by name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from drsformer_cli.errors import CheckpointError, DerainError, UsageError, WeightsError
from drsformer_cli.weights import Catalog, Store, fingerprint, import_file, read, resolve, verify
from tests.weights.conftest import left_in
from tests.weights.samples import COMMON, MEFC, PLAIN, WRONG, code, tiny
from tests.weights.test_checkpoint import same


def test_import_and_find(store: Store, cache: Path) -> None:
    before = fingerprint(PLAIN)
    record = import_file(PLAIN, "mine")
    assert resolve("mine") == cache / "mine.safetensors"
    assert same(read(resolve("mine")).tensors, tiny())
    assert (record.variant, record.source, record.original_sha256) == ("plain", "tiny_plain.pth", before)
    assert fingerprint(PLAIN) == before
    assert left_in(cache) == ["mine.json", "mine.safetensors"]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Net G (300k).pth", "net-g-300k"),
        ("mine.pth", "mine"),
        ("v1.5.safetensors", "v1.5"),
        ("__a__.pt", "a"),
    ],
)
def test_a_name_is_made_from_the_file(file: str, name: str, tmp_path: Path) -> None:
    torch.save(tiny(), tmp_path / file)
    assert import_file(tmp_path / file).name == name


def test_a_file_whose_name_is_none(tmp_path: Path, cache: Path) -> None:
    torch.save(tiny(), tmp_path / "雨.pth")
    with pytest.raises(UsageError, match="give one with --name"):
        import_file(tmp_path / "雨.pth")
    assert not cache.exists()


@pytest.mark.parametrize("kind", COMMON)
def test_a_wrong_file_leaves_no_trace(kind: str, tmp_path: Path, cache: Path) -> None:
    WRONG[kind][0](tmp_path / "wrong.pth")
    with pytest.raises(CheckpointError):
        import_file(tmp_path / "wrong.pth", "mine")
    assert not cache.exists()


def test_code_leaves_no_trace(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(CheckpointError, match="holds code"):
        import_file(code(tmp_path / "evil.pth", tmp_path / "ran", "zip"), "mine")
    assert not cache.exists()
    assert not (tmp_path / "ran").exists()


def test_nothing_is_replaced_unasked(store: Store) -> None:
    import_file(PLAIN, "mine")
    with pytest.raises(WeightsError, match=r"already; .* --name, or replace it with --force"):
        import_file(MEFC, "mine")
    assert verify("mine").variant == "plain"
    import_file(MEFC, "mine", force=True)
    assert verify("mine").variant == "mefc"


def test_a_failed_replacement_keeps_the_old_one(tmp_path: Path, store: Store) -> None:
    import_file(PLAIN, "mine")
    WRONG["a NaN"][0](tmp_path / "wrong.pth")
    with pytest.raises(CheckpointError):
        import_file(tmp_path / "wrong.pth", "mine", force=True)
    assert same(read(resolve("mine")).tensors, tiny())


def test_names_of_the_catalogue_take_only_their_own(known: Catalog, store: Store, cache: Path) -> None:
    with pytest.raises(CheckpointError, match="'mefc' variant, but the model 'drizzle' is of the 'plain'"):
        import_file(MEFC, "drizzle", known=known)
    with pytest.raises(CheckpointError, match=r"another size .*\(dim 16 instead of 48"):
        import_file(PLAIN, "rain200l")
    with pytest.raises(UsageError, match="bundled model; choose another with --name"):
        import_file(PLAIN, "inside", known=known)
    assert not cache.exists()
    assert import_file(PLAIN, "drizzle", known=known).name == "drizzle"
    assert import_file(MEFC, "downpour", known=known).name == "downpour"


@pytest.mark.parametrize("name", ["Upper", "../up", "a.pth", ""])
def test_unusable_names(name: str, cache: Path) -> None:
    with pytest.raises(UsageError):
        import_file(PLAIN, name)
    assert not cache.exists()


def test_a_path_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("a.pth", "b.PT", "c.safetensors", "bare"):
        Path(file).touch()
    assert [str(resolve(name)) for name in ("a.pth", "b.PT", "c.safetensors")] == [
        "a.pth",
        "b.PT",
        "c.safetensors",
    ]
    assert resolve("./bare") == Path("bare")
    assert resolve(str(tmp_path / "bare")) == tmp_path / "bare"
    with pytest.raises(WeightsError, match=r"no checkpoint file \./none"):
        resolve("./none")
    with pytest.raises(WeightsError, match=r"no checkpoint file none\.pth"):
        resolve("none.pth")
    with pytest.raises(WeightsError, match="bare is no model: give a name"):
        resolve("bare")


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "a.pth").touch()
    assert resolve("~/a.pth") == tmp_path / "a.pth"


def test_a_bundled_model(known: Catalog, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"'inside' is missing from .*; install derain again"):
        resolve("inside", known=known)
    save_file(tiny(), tmp_path / "inside.safetensors")
    assert resolve("inside", known=known) == tmp_path / "inside.safetensors"
    assert verify("inside", known=known).variant == "plain"


def test_not_downloaded_yet() -> None:
    with pytest.raises(WeightsError, match="not downloaded yet; type `derain weights get rain200h`"):
        resolve("rain200h")


def test_a_typo(store: Store) -> None:
    import_file(PLAIN, "snow-free")
    for wrong, near in (("rain200", "rain200l"), ("Rain200H", "rain200h"), ("snowfree", "snow-free")):
        with pytest.raises(WeightsError, match=f"there is no model '{wrong}'; did you mean .*{near}"):
            resolve(wrong)
    with pytest.raises(WeightsError, match=r"the models are compact, rain200l, .*, snow-free"):
        resolve("xyz")


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "\0", "a\0b/c", "x" * 5000, "x" * 5000 + ".pth", "x/" * 5000, "~nobody-here/x", "🌧"],
)
def test_odd_names_are_no_models(name: str) -> None:
    with pytest.raises(DerainError):
        resolve(name)


def test_verify_finds_damage(store: Store, known: Catalog) -> None:
    import_file(PLAIN, "drizzle", known=known)
    assert verify("drizzle", known=known).sha256 == fingerprint(store.path("drizzle"))
    data = bytearray(store.path("drizzle").read_bytes())
    data[-1] ^= 1
    store.path("drizzle").write_bytes(data)
    with pytest.raises(
        CheckpointError, match="has changed since it was kept; type `derain weights get drizzle"
    ):
        verify("drizzle", known=known)
    (store.folder / "drizzle.json").unlink()
    with pytest.raises(CheckpointError, match="no record"):
        verify("drizzle", known=known)


def test_a_kept_file_is_not_loaded_without_its_record(store: Store) -> None:
    import_file(PLAIN, "mine")
    path = store.path("mine")
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match="has changed since it was kept; import it again with --force"):
        resolve("mine")
    import_file(PLAIN, "mine", force=True)
    assert resolve("mine") == path
    (store.folder / "mine.json").unlink()
    with pytest.raises(CheckpointError, match="no record"):
        resolve("mine")


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are Unicode there")
def test_a_file_whose_name_is_no_unicode(tmp_path: Path, store: Store) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.pth")
    path.write_bytes(PLAIN.read_bytes())
    assert import_file(path, "mine").source == "caf\\udce9.pth"
    record = store.record("mine")
    assert record is not None
    assert record.source == "caf\\udce9.pth"
    assert verify("mine").variant == "plain"


def test_verify_reads_the_values(store: Store, tmp_path: Path, known: Catalog) -> None:
    WRONG["a NaN"][0](tmp_path / "wrong.pth")
    with pytest.raises(CheckpointError, match="NaN"):
        verify(str(tmp_path / "wrong.pth"))
    save_file(tiny(MEFC), tmp_path / "inside.safetensors")
    with pytest.raises(CheckpointError, match="'mefc' variant, but the model 'inside'"):
        verify("inside", known=known)
