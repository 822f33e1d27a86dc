"""`derain doctor` on installations that are really ill: each ailment is arranged, found, and remedied."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drsformer_cli import machine
from drsformer_cli.cli import ailments, doctor
from drsformer_cli.cli.ailments import Finding
from drsformer_cli.media import video_tool
from tests.cli.conftest import environment
from tests.weights.serving import Server, serve, status

LOOK = """
import json, sys
from dataclasses import asdict
from drsformer_cli.cli import ailments, doctor
for name in sys.argv[1:]:
    check = getattr(ailments, name, None) or getattr(doctor, name)
    for finding in doctor._look(check):
        print(json.dumps(asdict(finding)))
"""


def look(*names: str, **changes: str) -> dict[str, Finding]:
    """Have a new process make some checks, in an environment of its own."""
    env = environment(**changes)
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *names], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    findings = [Finding(**json.loads(line)) for line in done.stdout.splitlines()]
    return {finding.topic: finding for finding in findings}


def packages(folder: Path, **files: str) -> str:
    """Make a folder of modules and of packages' records, which comes before all others on the path."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return str(folder)


def record(folder: Path, name: str, version: str) -> None:
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_torch_that_does_not_load(tmp_path: Path) -> None:
    path = packages(tmp_path, torch="raise OSError('libcudart.so.12: cannot open shared object file')")
    found = look("processor", "_devices", PYTHONPATH=f"{path}{os.pathsep}{environment()['PYTHONPATH']}")
    assert found["device cpu"].state == "broken"
    assert "libcudart" in found["device cpu"].found
    assert found["device cpu"].advice.startswith("pip install")


def test_opencv_that_wants_a_screen(tmp_path: Path) -> None:
    record(tmp_path, "opencv-python", "4.10.0.84")
    path = packages(tmp_path, cv2="raise ImportError('libGL.so.1: cannot open shared object file')")
    found = look("opencv", PYTHONPATH=f"{path}{os.pathsep}{environment()['PYTHONPATH']}")["OpenCV"]
    assert found.state == "broken"
    assert "libGL.so.1" in found.found
    assert found.advice == (
        "pip uninstall -y opencv-python opencv-python-headless; pip install opencv-python-headless"
    )


def test_versions_that_do_not_go_together_and_two_opencvs(tmp_path: Path) -> None:
    record(tmp_path, "typer", "0.9.0")
    record(tmp_path, "opencv-python", "4.10.0.84")
    found = look("requirements", "opencv", PYTHONPATH=f"{tmp_path}{os.pathsep}{environment()['PYTHONPATH']}")
    assert found["typer"].state == "broken"
    assert found["typer"].found.startswith("0.9.0, but ")
    assert found["typer"].advice.startswith('pip install --upgrade "typer>=')
    assert found["OpenCV"].state == "poor"
    assert "opencv-python beside" in found["OpenCV"].found


def test_a_library_that_a_check_needs_is_named(tmp_path: Path) -> None:
    hidden = "raise ModuleNotFoundError('No module named packaging', name='packaging')"
    path = packages(tmp_path, packaging=hidden)
    found = look("requirements", PYTHONPATH=f"{path}{os.pathsep}{environment()['PYTHONPATH']}")
    assert found["requirements"].advice == "pip install packaging"


def test_threads_a_hidden_instruction_set_and_letters() -> None:
    ill = {"OMP_NUM_THREADS": "999", "ATEN_CPU_CAPABILITY": "default"}
    ascii = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    found = look("processor", "locale", **ill, **ascii)
    assert "more than the" in found["threads"].found
    assert found["threads"].advice.startswith("unset OMP_NUM_THREADS")
    assert found["processors"].state == "poor"
    assert "AVX2" in found["processors"].found
    assert found["locale"].state == "poor"
    assert "PYTHONUTF8=1" in found["locale"].advice


@pytest.mark.parametrize(("value", "said"), [("two", "no number"), ("0", "no number"), ("1", "idle")])
def test_thread_settings(monkeypatch: pytest.MonkeyPatch, value: str, said: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    monkeypatch.setattr(machine, "processors", lambda: 2)
    assert said in ailments.processor()[-1].found


def test_a_share_of_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "processors", lambda: 2)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    (found,) = ailments.processor()
    assert found.found.startswith("2 of 64, by the container's")


def fake_ffmpeg(folder: Path, says: str) -> Path:
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("says", "said"),
    [("ffmpeg version 4.4.2-0ubuntu", "too old"), ("MPEG tool 3", "another program")],
)
def test_a_wrong_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, said: str) -> None:
    monkeypatch.setenv(video_tool.VARIABLE, str(fake_ffmpeg(tmp_path, says)))
    (found,) = ailments.ffmpeg()
    assert (found.state, said in found.found) == ("missing", True)
    assert "imageio-ffmpeg" in found.advice


def test_ffmpeg_missing_new_enough_or_of_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(video_tool.VARIABLE, str(tmp_path / "none"))
    assert "is no program" in ailments.ffmpeg()[0].found
    for version in ("7.1-static", "n7.1", "N-110000-gabc"):
        monkeypatch.setenv(video_tool.VARIABLE, str(fake_ffmpeg(tmp_path, f"ffmpeg version {version}")))
        assert ailments.ffmpeg()[0].state == "ok"


def test_a_cache_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (found,) = ailments.cache(tmp_path / "file" / "cache")
    assert "is no folder" in found.found
    (found,) = ailments.cache(tmp_path / "deep" / "cache")
    assert found.state == "ok"
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file"]
    monkeypatch.setattr(ailments, "LEAST_FREE", 1 << 60)
    (found,) = ailments.cache(tmp_path)
    assert "MiB free" in found.found
    assert "DERAIN_CACHE" in found.advice


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no folder here that nobody can write")
def test_a_cache_that_cannot_be_written() -> None:
    (found,) = ailments.cache(Path("/proc/self/derain"))
    assert "cannot be written" in found.found


def test_little_memory_and_an_old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory", lambda: 1 << 30)
    assert "--memory 1G" in ailments.memory()[0].advice
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    assert ailments.python()[0].state == "broken"


def test_small_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    assert "64-bit" in ailments.python()[0].advice


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "DERAIN_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with serve() as running:
        yield running


def test_the_network_answers_or_a_proxy_does_not(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    place = server.url.replace("http://", "http://me:secret@")
    server.add("/models", status(200))
    monkeypatch.setenv("DERAIN_WEIGHTS_MIRROR", f"{place}/models")
    (found,) = ailments.network()
    assert (found.state, found.found) == ("ok", f"{server.url} answers")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    (found,) = ailments.network()
    assert "the proxy refuses" in found.found
    assert "HTTPS_PROXY" in found.advice
    assert "secret" not in str(found)


def test_a_certificate_that_is_not_trusted(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    address = server.url.replace("http://", "https://")  # it answers, but not in TLS
    monkeypatch.setenv("DERAIN_WEIGHTS_MIRROR", address)
    (found,) = ailments.network()
    assert "its certificate is not trusted" in found.found
    assert "REQUESTS_CA_BUNDLE" in found.advice


def test_nobody_answers_and_offline(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setenv("DERAIN_WEIGHTS_MIRROR", "http://127.0.0.1:9")
    assert "does not answer" in ailments.network()[0].found
    monkeypatch.setenv("DERAIN_OFFLINE", "1")
    assert ailments.network()[0].advice == "unset DERAIN_OFFLINE to download"


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("cv2", "opencv-python-headless"),
        ("PIL", "pillow"),
        ("pillow_heif", "pillow-heif"),
        ("av.video", "av"),
    ],
)
def test_what_lacks_a_module_is_told_the_package_that_brings_it(module: str, package: str) -> None:
    def check() -> list[Finding]:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    (finding,) = doctor._look(check)
    assert finding.state == "broken"
    assert finding.advice == f"pip install {package}"


def test_derain_itself_is_installed_again_from_its_source() -> None:
    def check() -> list[Finding]:
        raise ImportError("odd")

    (finding,) = doctor._look(check)
    assert finding.advice.startswith("pip install --force-reinstall . ")
