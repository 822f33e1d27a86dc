"""`python -m drsformer_cli` is `derain`."""

from __future__ import annotations

from drsformer_cli.cli.app import main

if __name__ == "__main__":
    main()
