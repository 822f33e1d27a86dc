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
LEAST = 0.4  # of a sentence that is a template's own text, the rest being what is filled in


@cache
def constants() -> dict[str, str]:
    """The texts that modules name, such as advice that several sentences end with."""
    return {
        ast.unparse(target): node.value.value
        for tree in trees()
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for target in node.targets
    }


@cache
def trees() -> list[ast.Module]:
    return [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "drsformer_cli").rglob("*.py")]


def own(part: ast.AST) -> str | None:
    """The text that a part of a template is; None where it is filled in."""
    if isinstance(part, ast.Constant):
        return str(part.value)
    return constants().get(ast.unparse(part.value)) if isinstance(part, ast.FormattedValue) else None


@cache
def templates() -> dict[re.Pattern[str], int]:
    """All texts in the code, with whatever for what is filled in, and how many letters are their own."""
    found = {}
    for node in (node for tree in trees() for node in ast.walk(tree)):
        texts = [own(part) for part in (node.values if isinstance(node, ast.JoinedStr) else [node])]
        if letters := sum(len(text) for text in texts if text):
            whole = "\0".join("\1" if text is None else text for text in texts).strip(".;, ")
            whole = re.escape(whole.replace("\0", "")).replace("\1", ".*")
            found[re.compile(whole)] = letters
    return found


def said(sentence: str) -> bool:
    """Whether a sentence is a whole template, behind a name or not, or is put together of whole ones."""
    sentence = sentence.rstrip(".")
    for text in (sentence, sentence.partition(" ")[2]):
        if any(size >= LEAST * len(text) and each.fullmatch(text) for each, size in templates().items()):
            return True
    parts = re.split("; |(?<=found), ", sentence)
    return len(parts) > 1 and all(map(said, parts))


@pytest.mark.parametrize("sentence", QUOTED)
def test_what_is_quoted_is_what_is_said(sentence: str) -> None:
    assert said(sentence)


def test_there_are_quotes_and_others_are_told_apart() -> None:
    assert len(QUOTED) > 15
    assert not said("the model 'rain200h' has not been fetched, so fetch it with `derain weights fetch`.")
    assert not said("even the smallest tile needs a memory limit of 0.6 GB; raise --memory.")


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
