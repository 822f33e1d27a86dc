"""What most often ails an installation: each is looked for, and told with the command that mends it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LEAST_MEMORY = 2 << 30
LEAST_FREE = 300 << 20
LEAST_FFMPEG = 6
LEAST_PYTHON = (3, 10)
OPENCV = ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: what it is.
        state: `ok`, `poor` (derain works, but worse than it could), `missing` (an extra that not everybody
            needs), or `broken` (derain cannot work).
        found: what was seen, in words.
        advice: what to do, empty if nothing.
    """

    topic: str
    state: str
    found: str
    advice: str = ""


def python() -> list[Finding]:
    """The interpreter: old, or of 32 bits, for which there is no PyTorch."""
    import platform

    found = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    if sys.version_info[:2] < LEAST_PYTHON:
        advice = "install Python 3.10 or later, and derain with it: python3.12 -m pip install ."
        return [Finding("python", "broken", found, advice)]
    if sys.maxsize < 1 << 32:
        advice = "PyTorch needs 64 bits: install the 64-bit Python, and derain with it"
        return [Finding("python", "broken", f"{found}, 32 bits", advice)]
    return [Finding("python", "ok", found)]


def requirements() -> list[Finding]:
    """What is installed against what this version asks for: too old a typer, too new a torch."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in requires("drsformer-cli") or ()]
    except PackageNotFoundError:
        found = "run from its source, not installed"
        return [Finding("requirements", "poor", found, "pip install . in its folder brings all it needs")]
    findings = []
    for each in wanted:
        if each.marker is not None and not each.marker.evaluate({"extra": ""}):
            continue
        try:
            here = version(each.name)
        except PackageNotFoundError:
            findings.append(Finding(each.name, "broken", "not installed", f"pip install {each.name}"))
            continue
        if not each.specifier.contains(here, prereleases=True):
            advice = f'pip install --upgrade "{each.name}{each.specifier}"'
            found = f"{here}, but {each.specifier} is needed"
            findings.append(Finding(each.name, "broken", found, advice))
    return findings or [Finding("requirements", "ok", "all in the versions that are needed")]


def processor() -> list[Finding]:
    """What the processor can do, how many there are to use, and how many threads were asked for."""
    import platform

    try:
        import torch

        from drsformer_cli import machine
    except (ImportError, OSError):
        return []  # told with the devices, and with the memory

    usable, all_there = machine.processors(), os.cpu_count() or 1
    share = "" if usable >= all_there else f" of {all_there}, by the container's or process's limit"
    capability = torch.backends.cpu.get_cpu_capability()
    findings = [Finding("processors", "ok", f"{usable}{share}; {capability}")]
    if capability == "DEFAULT" and platform.machine().lower() in ("x86_64", "amd64", "i686"):
        found = "no AVX2 (or ATEN_CPU_CAPABILITY hides it): many times slower"
        advice = "a virtual machine may hide it: give it the CPU type `host`; unset ATEN_CPU_CAPABILITY"
        findings = [Finding("processors", "poor", found, advice)]
    named = os.environ.get("OMP_NUM_THREADS", "")
    if not named:
        return findings
    if not named.isdecimal() or not int(named):
        state, found = "poor", f"OMP_NUM_THREADS={named} is no number of threads"
    elif int(named) > usable:
        state, found = "poor", f"OMP_NUM_THREADS={named} is more than the {usable} processors: slower"
    elif int(named) < usable:
        state, found = "poor", f"OMP_NUM_THREADS={named} leaves {usable - int(named)} of {usable} idle"
    else:
        return [*findings, Finding("threads", "ok", f"OMP_NUM_THREADS={named}")]
    return [*findings, Finding("threads", state, found, "unset OMP_NUM_THREADS, unless it is meant so")]


def memory() -> list[Finding]:
    """Whether the machine, or the container, has enough memory for the bundled model."""
    try:
        from drsformer_cli import machine
    except ImportError as error:  # psutil, which is told of as a library
        return [Finding("memory", "broken", str(error), "pip install psutil")]
    limit = machine.memory()
    found = f"{limit / 2**30:.1f} GiB"
    if limit >= LEAST_MEMORY:
        return [Finding("memory", "ok", found)]
    advice = "try --memory 1G, which takes small tiles; or give the machine or container 2 GiB"
    return [Finding("memory", "poor", f"{found} in all", advice)]


def opencv() -> list[Finding]:
    """Whether OpenCV loads, and is there only once: two packages of it overwrite each other's files."""
    from importlib.metadata import PackageNotFoundError, version

    several = []
    for name in OPENCV:
        try:
            version(name)
            several.append(name)
        except PackageNotFoundError:
            continue
    every = " ".join([*several, "opencv-python-headless"])
    advice = f"pip uninstall -y {every}; pip install opencv-python-headless"
    try:
        import cv2
    except (ImportError, OSError) as error:  # a system library that only the version with windows needs
        found = f"does not load: {str(error).splitlines()[0]}"
        return [Finding("OpenCV", "broken", found, advice)]
    if several:
        found = f"{', '.join(several)} beside or instead of opencv-python-headless"
        return [Finding("OpenCV", "poor", found, f"if it gives trouble: {advice}")]
    return [Finding("OpenCV", "ok", f"{cv2.__version__} loads")]


def ffmpeg() -> list[Finding]:
    """The ffmpeg that films need: there, a program, and not too old."""
    import subprocess

    from drsformer_cli.errors import SetupError
    from drsformer_cli.media import video_tool

    install = "pip install --force-reinstall imageio-ffmpeg brings one; unset DERAIN_FFMPEG if it is set"
    try:
        program = video_tool.ffmpeg.__wrapped__()  # as it is now
    except SetupError as error:
        return [Finding("ffmpeg", "missing", str(error), f"pictures do not need it; for films: {install}")]
    try:
        said = subprocess.run([program, "-version"], capture_output=True, timeout=30, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Finding("ffmpeg", "missing", f"{program} does not run: {error}", f"for films: {install}")]
    match = re.match(rb"ffmpeg version n?(\d+)?\S*", said)
    if match is None:
        return [Finding("ffmpeg", "missing", f"{program} is another program", f"for films: {install}")]
    found = f"{match[0].decode('ascii', 'replace').removeprefix('ffmpeg version ')}, {program}"
    if match[1] is not None and int(match[1]) < LEAST_FFMPEG:  # a build from between versions has none
        return [
            Finding("ffmpeg", "missing", f"{found}: too old", f"version {LEAST_FFMPEG} or later; {install}")
        ]
    return [Finding("ffmpeg", "ok", found)]


def cache(folder: Path) -> list[Finding]:
    """Whether models can be kept in a folder, which need not be there yet; nothing is left in it."""
    there = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
    advice = "export DERAIN_CACHE=FOLDER, one that can be written and has room"
    if not there.is_dir():
        return [Finding("cache", "poor", f"{folder} cannot be made: {there} is no folder", advice)]
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as error:
        return [Finding("cache", "poor", f"{there} cannot be written: {error.strerror}", advice)]
    if free < LEAST_FREE:
        return [Finding("cache", "poor", f"{there} has only {free >> 20} MiB free", advice)]
    return [Finding("cache", "ok", f"{there} can be written, {free / 2**30:.1f} GiB free")]


def locale() -> list[Finding]:
    """Whether names and messages are taken for UTF-8."""
    names = {"names of files": sys.getfilesystemencoding(), "output": sys.stdout.encoding or "ascii"}
    wrong = [f"{what} in {code}" for what, code in names.items() if code.lower().replace("-", "") != "utf8"]
    if not wrong:
        return [Finding("locale", "ok", "UTF-8")]
    advice = "set PYTHONUTF8=1 (export PYTHONUTF8=1, or setx PYTHONUTF8 1 on Windows), or LC_ALL=C.UTF-8"
    return [Finding("locale", "poor", f"{', '.join(wrong)}: other letters look odd", advice)]


def network() -> list[Finding]:
    """Whether the place that models come from can be reached; only looked at when asked to."""
    from drsformer_cli.weights import catalog, is_offline

    if is_offline():
        return [
            Finding("network", "missing", "DERAIN_OFFLINE forbids it", "unset DERAIN_OFFLINE to download")
        ]
    import requests

    sources = [entry.source for entry in catalog().values() if entry.source.startswith("http")]
    address = os.environ.get("DERAIN_WEIGHTS_MIRROR") or sources[0]
    place = re.sub(
        r"^(\w+://)(?:[^/@]*@)?([^/?#]*).*", r"\1\2", address
    )  # no password, no more than the host
    by_hand = "or fetch the file elsewhere, and derain weights import FILE"
    reasons: tuple[tuple[type[Exception], str, str], ...] = (
        (requests.exceptions.ProxyError, "the proxy refuses", f"correct or unset HTTPS_PROXY; {by_hand}"),
        (
            requests.exceptions.SSLError,
            "TLS fails: its certificate is not trusted, or something in between answers",
            f"export REQUESTS_CA_BUNDLE=FILE, your organisation's certificates; {by_hand}",
        ),
        (requests.exceptions.RequestException, "it does not answer", f"see to the connection; {by_hand}"),
    )
    try:
        answer = requests.get(address, timeout=10, stream=True, allow_redirects=False)
        answer.close()
    except requests.exceptions.RequestException as error:
        words, advice = next((words, advice) for kind, words, advice in reasons if isinstance(error, kind))
        return [Finding("network", "missing", f"{place}: {words}", advice)]
    return [Finding("network", "ok", f"{place} answers")]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    python,
    requirements,
    processor,
    memory,
    opencv,
    ffmpeg,
    locale,
)
