"""All that is installed with `derain`, directly or not: versions and licences, and what a scan found.

    python benchmarks/dependencies.py > docs/dependencies.md
    python benchmarks/dependencies.py --vulnerabilities AUDIT.json > docs/dependencies.md

Versions and licences are those of the packages' own records; AUDIT.json is what pip-audit wrote, else the
scan beside this program, which has two fields more: a vulnerability's `remark`, and a package's
`other_versions`, the advisories that name the package and not this version. A package that a scan had no
answer for, or for another version of it, is not known to be sound, and the page says so.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
TOOLS = {"test", "dev"}  # extras of those who work on the code
COPYLEFT = re.compile(r"\b(A?GPL|LGPL|MPL|EUPL|CDDL|EPL|GNU|Mozilla)", re.IGNORECASE)
BEYOND = Path(__file__).with_suffix(".md")
SCAN = Path(__file__).with_name("vulnerabilities.json")


def needed(name: str, extras: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield what a package asks for here, with the extras it is asked for with."""
    for text in distribution(name).requires or ():
        wanted = Requirement(text)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(wanted.name), tuple(wanted.extras)


def roots_of(texts: list[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the packages that apply here, of a list of requirements."""
    wanted = [Requirement(text) for text in texts]
    return [
        (canonicalize_name(each.name), tuple(each.extras))
        for each in wanted
        if each.marker is None or each.marker.evaluate({"extra": ""})
    ]


def closure(roots: list[tuple[str, tuple[str, ...]]]) -> tuple[set[str], set[str]]:
    """Return all that roots ask for, over as many steps as it takes: what is installed, and what is not."""
    here: set[str] = set()
    absent: set[str] = set()
    while roots:
        name, extras = roots.pop()
        if name in here or name in absent:
            continue
        try:
            more = list(needed(name, extras))
        except PackageNotFoundError:
            absent.add(name)
            continue
        here.add(name)
        roots += more
    return here, absent


def licence(package: Distribution) -> str:
    """Return the licence that a package's record states, as short as it has it."""
    data = package.metadata
    if stated := data.get("License-Expression"):
        return stated
    classes = [
        text.rpartition(" :: ")[2] for text in data.get_all("Classifier") or () if "License ::" in text
    ]
    if named := [text for text in classes if text != "OSI Approved"]:
        return "; ".join(dict.fromkeys(named))
    lines = (data.get("License") or "").strip().splitlines()
    return lines[0][:80] if lines else "not stated"


def table(names: set[str], known: dict[tuple[str, str], str]) -> str:
    """Return a table of packages, with what a scan knows of their versions."""
    rows = ["| package | version | licence | known vulnerabilities |", "|---|---|---|---|"]
    for name in sorted(names):
        package = distribution(name)
        stated = licence(package).replace("|", "/")
        mark = " **(copyleft)**" if COPYLEFT.search(stated) else ""
        found = known.get((name, package.version), "not scanned")
        rows.append(f"| {name} | {package.version} | {stated}{mark} | {found} |")
    return "\n".join(rows)


def verdict(package: dict[str, Any]) -> str:
    """Return what a scan found of one package, as a cell of the table."""
    if package["vulns"]:
        return "; ".join(
            found["id"] + (f" ({found['remark']})" if "remark" in found else "") for found in package["vulns"]
        )
    others = len(package.get("other_versions", ()))
    return f"none; {others} of other versions" if others else "none"


def scanned(path: Path) -> dict[tuple[str, str], str]:
    """Return what a scan says of each package and version that it had an answer for."""
    report = json.loads(path.read_text(encoding="utf-8"))["dependencies"]
    answers = [each for each in report if "vulns" in each]
    return {(canonicalize_name(each["name"]), each["version"]): verdict(each) for each in answers}


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--vulnerabilities", type=Path, metavar="FILE", default=SCAN)
    known = scanned(parser.parse_args().vulnerabilities)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    base, absent = closure(roots_of(project["dependencies"]))
    more = [
        text
        for name, texts in project["optional-dependencies"].items()
        if name not in TOOLS
        for text in texts
    ]
    every, absent_too = closure(roots_of([*project["dependencies"], *more]))
    extra, absent = every - base, absent | absent_too
    answered = sum((name, distribution(name).version) in known for name in base | extra)
    print(BEYOND.read_text(encoding="utf-8").rstrip())
    print(f"\n## What every installation has\n\n{table(base, known)}")
    print(f"\n## What the extras add\n\n{table(extra, known)}")
    if absent:
        print(f"\nNot installed where this page was made, and so not looked at: {', '.join(sorted(absent))}.")
    print(f"\nThe scan for vulnerabilities had an answer for {answered} of {len(base | extra)} packages.")


if __name__ == "__main__":
    main()
