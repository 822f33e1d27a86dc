"""docs/dependencies.md: made from what is installed, naming all that the package asks for."""

from __future__ import annotations

import json
import re
from pathlib import Path

from packaging.version import Version

from benchmarks import dependencies

PAGE = (dependencies.ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")


def test_all_that_is_asked_for_is_listed() -> None:
    text = (dependencies.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = dependencies.tomllib.loads(text)["project"]
    base = dict(dependencies.roots_of(project["dependencies"]))
    assert len(base) > 10
    for name in base:
        assert f"\n| {name} | " in PAGE
    assert dependencies.BEYOND.read_text(encoding="utf-8").rstrip() in PAGE


def test_copyleft_is_marked() -> None:
    marked = set(re.findall(r"(?m)^\| (\S+) .*\*\*\(copyleft\)\*\*", PAGE))
    assert "certifi" in marked
    assert "typer" not in marked
    told = PAGE.partition("## Copyleft")[2].partition("## What")[0]
    for name in marked - dependencies.closure([("s3fs", ())])[0]:
        assert name in told, f"{name}: say how it is used"


def test_a_scan_is_read_and_what_was_skipped_is_not_taken_for_sound(tmp_path: Path) -> None:
    report = tmp_path / "audit.json"
    here = {name: dependencies.distribution(name).version for name in ("rich", "pygments", "torch", "typer")}
    found = [{"id": "PYSEC-1", "remark": "not called"}, {"id": "PYSEC-2"}]
    packages = [
        {"name": "Pygments", "version": here["pygments"], "vulns": []},
        {"name": "rich", "version": here["rich"], "vulns": found, "other_versions": ["PYSEC-3"]},
        {"name": "typer", "version": "0.1", "vulns": []},
        {"name": "torch", "skip_reason": "not found"},
    ]
    report.write_text(json.dumps({"dependencies": packages}))
    known = dependencies.scanned(report)
    lines = dependencies.table(set(here), known).splitlines()
    cells = [line.split(" | ")[-1].removesuffix(" |") for line in lines[2:]]
    assert cells == ["none", "PYSEC-1 (not called); PYSEC-2", "not scanned", "not scanned"]


def test_the_kept_scan_is_of_the_versions_on_the_page() -> None:
    known = dependencies.scanned(dependencies.SCAN)
    rows = re.findall(r"(?m)^\| (\S+) \| (\d\S*) \| .* \| ([^|]+) \|$", PAGE.partition("## What every")[2])
    assert len(rows) > 60
    assert {(name, version): cell for name, version, cell in rows} == known


def test_least_versions_are_those_that_the_page_tells_as_mended() -> None:
    text = (dependencies.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = dependencies.tomllib.loads(text)["project"]
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *(text for each in extras for text in each)]
    least = {
        wanted.name: spec.version
        for wanted in map(dependencies.Requirement, asked)
        for spec in wanted.specifier
        if spec.operator == ">="
    }
    row = re.compile(r"(?m)^\| (\S+) \| [^|]+ \| ([\d.]+)[^|]* \| ([\d.]+) \|$")
    told = row.findall(PAGE.partition("## Copyleft")[0])
    assert len(told) > 7
    for name, mended, stated in told:
        assert Version(least[name]) == Version(stated) >= Version(mended), name


def test_it_follows_what_packages_ask_for() -> None:
    here, absent = dependencies.closure([("rich", ()), ("no-such-package", ())])
    assert {"rich", "pygments"} <= here
    assert absent == {"no-such-package"}
