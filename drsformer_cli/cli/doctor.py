"""`derain doctor`: what is here, what is missing, and how to get it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from typing import Annotated

import typer

from drsformer_cli import __version__
from drsformer_cli.cli import ailments, options
from drsformer_cli.cli.ailments import Finding
from drsformer_cli.cli.words import printable
from drsformer_cli.errors import DerainError

LIBRARIES = (
    "torch",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "tifffile",
    "av",
    "imageio-ffmpeg",
    "safetensors",
    "pooch",
    "gdown",
)
#: What installs a module whose package is called otherwise.
PACKAGES = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "pillow_heif": "pillow-heif",
    "imageio_ffmpeg": "imageio-ffmpeg",
}
REINSTALL = "pip install --force-reinstall . in the folder of derain's source"


def doctor(
    network: Annotated[
        bool, typer.Option("--network", help="See whether models can be fetched, too: asks their server.")
    ] = False,
    json_lines: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    _verbose: options.DetailsOption = False,
) -> None:
    """Look at this installation: what is here, what is missing or in the way, and the command that mends it.

    The exit status is 3 if something that derain needs is broken. The network is not used unless asked.

    \b
    Examples:
      derain doctor
      derain doctor --network     and whether models can be fetched
      derain doctor --json        one JSON object a line, for scripts
    """
    checks: list[Callable[[], list[Finding]]] = [_program, _libraries]
    checks += [*ailments.CHECKS, _devices, _models, _extras]
    checks += [ailments.network] if network else []
    findings = list(dict.fromkeys(finding for check in checks for finding in _look(check)))
    if json_lines:
        import json

        for finding in findings:
            typer.echo(json.dumps(asdict(finding)))
    else:
        _show(findings)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(3)


def _look(check: Callable[[], list[Finding]]) -> list[Finding]:
    """Return what a check finds; that it lacks a library is a finding, too."""
    try:
        return check()
    except ImportError as error:
        module = (error.name or "").partition(".")[0]
        advice = f"pip install {PACKAGES.get(module, module)}" if module else REINSTALL
        return [Finding(check.__name__.strip("_"), "broken", str(error), advice)]


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "poor": "yellow", "missing": "yellow", "broken": "bold red"}
    table = Table(box=None, pad_edge=False)
    for heading in ("", "", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        state = Text(finding.state, style=colours[finding.state])
        table.add_row(
            Text(finding.topic), state, *(Text(printable(each)) for each in (finding.found, finding.advice))
        )
    Console().print(table)


def _program() -> list[Finding]:
    return [Finding("derain", "ok", __version__)]


def _libraries() -> list[Finding]:
    from importlib.metadata import PackageNotFoundError, version  # slow to load

    findings = []
    for name in LIBRARIES:
        try:
            findings.append(Finding(name, "ok", version(name)))
        except PackageNotFoundError:
            findings.append(Finding(name, "broken", "not installed", f"pip install {name}"))
    return findings


def _devices() -> list[Finding]:
    try:
        import torch

        from drsformer_cli.restore.device import memory_limit, precisions
    except (ImportError, OSError) as error:  # a library of torch that is missing or broken
        return [
            Finding(
                "device cpu", "broken", f"torch does not load: {error}", "pip install --force-reinstall torch"
            )
        ]
    devices = [torch.device("cpu")]
    devices += [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    devices += [torch.device("mps")] if torch.backends.mps.is_available() else []
    findings = []
    for device in devices:
        gigabytes = memory_limit(device) / 2**30
        words = [", ".join(precisions(device)), f"{gigabytes:.1f} GiB of memory"]
        if device.type == "cpu":
            words.append(f"{torch.get_num_threads()} threads")
        elif device.type == "cuda":
            words.append(torch.cuda.get_device_name(device))
        findings.append(Finding(f"device {device}", "ok", "; ".join(words)))
    if len(devices) == 1:
        findings.append(_no_gpu(torch.version.cuda))
    return findings


def _no_gpu(cuda: str | None) -> Finding:
    if shutil.which("nvidia-smi") is None:
        return Finding(
            "gpu",
            "missing",
            "none seen",
            "nothing, unless this machine has one: then install its driver (nvidia-smi shows it)",
        )
    if cuda is None:
        return Finding(
            "gpu",
            "missing",
            "this torch is a CPU build",
            "pip uninstall -y torch, then the command for CUDA of PyTorch's Get Started page",
        )
    return Finding(
        "gpu",
        "missing",
        f"torch for CUDA {cuda} sees none",
        "update the NVIDIA driver; nvidia-smi must list the GPU",
    )


def _models() -> list[Finding]:
    from drsformer_cli import weights

    findings = []
    try:
        folder = weights.cache_folder()
    except (DerainError, OSError) as error:
        return [Finding("model cache", "broken", str(error), "set DERAIN_CACHE to a folder that can be")]
    try:
        weights.read(weights.resolve("compact"))
        findings.append(Finding("model compact", "ok", "bundled, sound"))
    except (DerainError, ImportError, OSError) as error:
        findings.append(Finding("model compact", "broken", str(error), REINSTALL))
    findings += ailments.cache(folder)
    kept = sorted(file.stem for file in folder.glob("*.safetensors")) if folder.is_dir() else []
    found = f"{folder}: {', '.join(kept) or 'no model downloaded'}"
    findings.append(
        Finding("model cache", "ok", found, "" if kept else "derain weights list shows what there is")
    )
    if weights.is_offline():
        offline = os.environ.get("DERAIN_OFFLINE", "")
        findings.append(
            Finding("network", "ok", f"never used: DERAIN_OFFLINE={offline}", "unset it to download")
        )
    return findings


def _extras() -> list[Finding]:
    from importlib.metadata import version

    findings = []
    try:
        import_module("pillow_heif")
        findings.append(Finding("HEIC pictures", "ok", f"pillow-heif {version('pillow-heif')}"))
    except ImportError:
        findings.append(
            Finding("HEIC pictures", "missing", "no pillow-heif", 'pip install "drsformer-cli[heic]"')
        )
    return findings
