"""`derain`, and `python -m drsformer_cli`, from its first moment to its last."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run `derain`; the console entry point. Ends with SystemExit, as `cli.app.main` tells."""
    try:
        from drsformer_cli.cli.app import main as command

        command()
    except KeyboardInterrupt:  # while the program was still being loaded
        sys.stderr.write("derain: interrupted.\n")
        sys.exit(130)
    finally:
        # all is done and said: what interrupts the interpreter's own end has nothing to say any more
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


if __name__ == "__main__":
    main()
