"""All that is installed with `derain`, directly or not: versions and licences, and what a scan found.

    python benchmarks/dependencies.py > docs/dependencies.md
    python benchmarks/dependencies.py --vulnerabilities AUDIT.json > docs/dependencies.md

Versions and licences are those of the packages' own records; the second adds what pip-audit wrote as JSON. A
package that it had no answer for is not known to be sound, and the page says for how many it had one.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

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


def table(names: set[str], known: dict[str, str]) -> str:
    """Return a table of packages, with a column of vulnerabilities where a scan has told of any."""
    scan = bool(known)
    rows = [
        "| package | version | licence |" + " known vulnerabilities |" * scan,
        "|---|---|---|" + "---|" * scan,
    ]
    for name in sorted(names):
        package = distribution(name)
        stated = licence(package).replace("|", "/")
        mark = " **(copyleft)**" if COPYLEFT.search(stated) else ""
        found = f" {known.get(name, 'not scanned')} |" if scan else ""
        rows.append(f"| {name} | {package.version} | {stated}{mark} |{found}")
    return "\n".join(rows)


def scanned(path: Path | None) -> dict[str, str]:
    """Return what a report of pip-audit says of each package that it had an answer for."""
    if path is None:
        return {}
    report = json.loads(path.read_text(encoding="utf-8"))["dependencies"]
    return {
        canonicalize_name(each["name"]): ", ".join(found["id"] for found in each["vulns"]) or "none"
        for each in report
        if "vulns" in each
    }


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--vulnerabilities", type=Path, metavar="FILE")
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
    answered = len((base | extra) & known.keys())
    print(BEYOND.read_text(encoding="utf-8").rstrip())
    print(f"\n## What every installation has\n\n{table(base, known)}")
    print(f"\n## What the extras add\n\n{table(extra, known)}")
    if absent:
        print(f"\nNot installed where this page was made, and so not looked at: {', '.join(sorted(absent))}.")
    if known:
        print(f"\nThe scan for vulnerabilities had an answer for {answered} of {len(base | extra)} packages.")


if __name__ == "__main__":
    main()
