"""Bring about every fault there is a trial for, and print how many there were and what came of them.

    python benchmarks/faults.py                            all of them; an hour or so
    python benchmarks/faults.py -k films --into trials     a part, whose trials are added to those in a file
    python benchmarks/faults.py --only-table --into trials the table of all that a file has

The trials are the tests of `tests/faults`, the slow ones too; some need root.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.faults.ledger import VARIABLE, read, table  # noqa: E402  (the tests lie beside this folder)


def main() -> int:
    """Run the trials; return the status of the tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-k", metavar="WORDS", default="", help="only trials whose tests have such names")
    parser.add_argument("--into", metavar="FILE", type=Path, help="add the trials to those in a file")
    parser.add_argument("--only-table", action="store_true", help="run nothing")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = (words.into or Path(scratch) / "trials").absolute()
        status = 0
        if not words.only_table:
            command = [sys.executable, "-m", "pytest", "-q", "-m", "slow or not slow", "--timeout", "3000"]
            command += ["tests/faults", *(["-k", words.k] if words.k else [])]
            environment = {**os.environ, VARIABLE: str(path)}
            status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        print(table(read(path)))
    return status


if __name__ == "__main__":
    sys.exit(main())
