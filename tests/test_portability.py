"""What only POSIX systems have is asked for before it is used; the rest is on Windows and macOS, too."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import environment, write_picture
from tests.test_architecture import imports_of, modules

#: Modules that Windows does not have.
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
#: Names of `os` and `signal` that Windows, or macOS, does not have.
NAMES = {
    *("fork", "forkpty", "getuid", "geteuid", "getgid", "getegid", "getpgid", "setpgid", "setsid", "killpg"),
    *("sched_getaffinity", "sched_setaffinity", "statvfs", "mkfifo", "mknod", "chown", "nice", "uname"),
    *("O_CLOEXEC", "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK", "O_DIRECT", "WNOHANG", "posix_fadvise"),
    *("SIGKILL", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGPIPE", "SIGSTOP"),
    *("pthread_sigmask", "setitimer", "alarm", "sigwait", "pthread_kill"),
}
ASKED = re.compile(r"hasattr\(|getattr\(|os\.name|sys\.platform")


def test_modules_of_posix_alone_are_loaded_late_and_after_a_question() -> None:
    for module, path in modules().items():
        for each in imports_of(module):
            if each.name.partition(".")[0] in MODULES:
                assert each.lazy, f"{module} imports {each.name} when it is loaded"
                assert ASKED.search(path.read_text(encoding="utf-8")), module


def test_names_of_posix_alone_are_asked_for_first() -> None:
    found = []
    for module, path in modules().items():
        text = path.read_text(encoding="utf-8")
        if not any(name in text for name in NAMES):
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)):
                continue
            here = [each for each in ast.walk(node) if isinstance(each, ast.Attribute)]
            used = {each.attr for each in here if ast.unparse(each.value) in ("os", "signal")} & NAMES
            if used and not ASKED.search(ast.unparse(node)):
                found.append(f"{module}: {sorted(used)}")
    assert not found


def test_folders_of_linux_alone_are_named_where_their_absence_is_met() -> None:
    naming = {
        module
        for module, path in modules().items()
        if re.search(r"[\"'f]/(proc|sys|dev)/", path.read_text("utf-8"))
    }
    assert naming <= {"drsformer_cli.machine", "drsformer_cli.cli.bench_case"}  # which ask first


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write_picture(tmp_path / "photos" / "a.png")


@pytest.mark.slow
def test_a_picture_is_restored_where_they_are_missing(picture: Path, golden: Path, tmp_path: Path) -> None:
    """Other libraries may use them, so those are loaded before the names are taken away."""
    tiny = golden / "tiny_mefc.pth"
    script = f"""
import os, signal, sys
import av, cv2, filelock, numpy, PIL.Image, platformdirs, psutil, rich.progress, tifffile, torch, typer
gone = [name for name in {sorted(NAMES)!r} for place in (os, signal) if hasattr(place, name)]
for place in (os, signal):
    for name in set(gone) & set(vars(place)) - {{"statvfs", "uname"}}:  # psutil and platform live by these
        if not name.startswith("O_"):  # and filelock by some of those
            delattr(place, name)
for name in {sorted(MODULES)!r}:
    sys.modules[name] = None
assert "fork" in gone and not hasattr(os, "fork"), gone
from drsformer_cli.cli.app import main
sys.argv = ["derain", {str(picture.parent)!r}, "-o", {str(tmp_path / "out")!r}, "-m", {str(tiny)!r}]
main()
"""
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "a.png").is_file()
