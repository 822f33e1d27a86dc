"""docs/dependencies.md: made from what is installed, naming all that the package asks for."""

from __future__ import annotations

import json
import re
from pathlib import Path

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
    packages = [
        {"name": "Typer", "version": "1", "vulns": []},
        {"name": "rich", "version": "1", "vulns": [{"id": "PYSEC-1"}]},
        {"name": "torch", "skip_reason": "not found"},
    ]
    report.write_text(json.dumps({"dependencies": packages}))
    known = dependencies.scanned(report)
    assert known == {"typer": "none", "rich": "PYSEC-1"}
    assert "| not scanned |" in dependencies.table({"torch"}, known)
    assert dependencies.scanned(None) == {}
    assert "scanned" not in dependencies.table({"torch"}, {})
    assert "scanned" not in PAGE.partition("## What every installation has")[2]


def test_it_follows_what_packages_ask_for() -> None:
    here, absent = dependencies.closure([("rich", ()), ("no-such-package", ())])
    assert {"rich", "pygments"} <= here
    assert absent == {"no-such-package"}
