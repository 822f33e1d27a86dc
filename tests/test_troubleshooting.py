"""docs/troubleshooting.md quotes what the program really says, and tells of all that doctor looks at."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"(?m)^    (?:derain: )?(.*)$", PAGE)
LEAST = 0.35  # of a sentence that a text in the code must give, what is filled in left out


@cache
def templates() -> dict[re.Pattern[str], int]:
    """All texts in the code, with whatever for what is filled in, and how many letters are their own."""
    found = {}
    for path in (ROOT / "drsformer_cli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            own = [str(each.value) if isinstance(each, ast.Constant) else None for each in parts]
            if letters := sum(len(text) for text in own if text):
                found[re.compile(".+".join(re.escape(text) for text in own if text))] = letters
    return found


def said(sentence: str) -> bool:
    least = LEAST * len(sentence)
    return any(size >= least and text.search(sentence) for text, size in templates().items())


@pytest.mark.parametrize("sentence", QUOTED)
def test_what_is_quoted_is_what_is_said(sentence: str) -> None:
    assert said(sentence)


def test_there_are_quotes_and_others_are_told_apart() -> None:
    assert len(QUOTED) > 15
    assert not said("the model 'rain200h' has not been fetched, so fetch it with `derain weights fetch`.")


def test_all_that_doctor_looks_at_is_told() -> None:
    told = PAGE.partition("## What doctor looks at")[2]
    topics = set()
    for name in ("doctor", "ailments"):
        tree = ast.parse((ROOT / "drsformer_cli" / "cli" / f"{name}.py").read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
        firsts = [call.args[0] for call in calls if ast.unparse(call.func) == "Finding"]
        topics |= {str(first.value) for first in firsts if isinstance(first, ast.Constant)}
    assert {"memory", "ffmpeg", "device cpu"} <= topics
    for topic in topics - {"derain"}:
        assert f"`{topic}`" in told
