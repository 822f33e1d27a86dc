"""What libraries of stores raise: what is final, what may pass, and words that hold no secret."""

from __future__ import annotations

import errno
import json
from types import SimpleNamespace

import pytest

from drsformer_cli.errors import SetupError, StorageError, UsageError
from drsformer_cli.media.store_errors import MOST_WORDS, final, words_of

URL = "gs://b/a.png"


def named(name: str, *words: object, base: type[Exception] = Exception, **holds: object) -> Exception:
    """Return an error of a class of this name, as a library that is not here would raise it."""
    error = type(name, (base,), {})(*words)
    vars(error).update(holds)
    return error


def after(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def answered(status: int, said: str | None = None) -> Exception:
    """Return an error as huggingface_hub raises it."""
    response = SimpleNamespace(status_code=status)
    return named("HfHubHTTPError", f"{status} Error", base=OSError, response=response, server_message=said)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (named("NoCredentialsError", "none"), SetupError, "gs://b/a.png needs credentials: set GOOGLE_"),
        (named("HttpError", "Anonymous, 401", code=401), SetupError, r"\(Anonymous, 401\)\.$"),
        (named("HttpError", "Anonymous, 401", code="401"), SetupError, "needs credentials, or is not there"),
        (named("ClientResponseError", "no", status=403), PermissionError, r"access is denied \(no\)"),
        (answered(401, "Invalid username or password."), SetupError, r"\(Invalid username or password\)\.$"),
        (
            after(FileNotFoundError("x (repository not found)"), answered(401, "Please sign in.")),
            SetupError,
            r"or correct the name \(Please sign in\)\.$",
        ),
        (answered(403), PermissionError, r"access is denied \(403 Error\)"),
        (OSError("Forbidden: b/x/o\nme has no access."), PermissionError, r"denied \(me has no access\)"),
        (PermissionError(errno.EACCES, "Access Denied."), PermissionError, r"denied \(Access Denied\)"),
        (after(FileNotFoundError("x"), answered(404)), FileNotFoundError, "No such object"),
        (named("HttpError", "gone", code=410), FileNotFoundError, "No such object"),
        (named("HttpError", "odd", code=400), StorageError, r"a\.png is refused by the store: odd\.$"),
        (ValueError("Bad Request: b/x\ninvalid name"), StorageError, "is refused by the store: Bad Request"),
        (ValueError("no name"), UsageError, r"a\.png is no address of a store: no name\.$"),
        (named("ParamValidationError", "no name"), UsageError, "is no address of a store"),
        (named("OfflineModeIsEnabled", "off", base=ConnectionError), SetupError, "unset HF_HUB_OFFLINE"),
        (
            after(
                named("HttpError", "Invalid, 401", code=401), named("RefreshError", "invalid_grant: x", {})
            ),
            SetupError,
            r"\(invalid_grant: x\)\.$",
        ),
    ],
)
def test_what_is_final(error: Exception, kind: type[Exception], words: str) -> None:
    answer = final(error, URL)
    assert answer is not None
    with pytest.raises(kind, match=words) as raised:
        raise answer
    assert type(raised.value) is kind
    if isinstance(answer, OSError):
        assert answer.filename == URL
        assert answer.strerror


@pytest.mark.parametrize(
    "error",
    [
        named("HttpError", "later, 503", code=503),
        named("HttpError", "slowly, 429", code="429"),
        answered(408),
        answered(500),
        ConnectionResetError("gone"),
        TimeoutError("no answer"),
        OSError(errno.EBUSY, "Slow Down"),
        json.JSONDecodeError("cut short", "{", 1),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"),
        after(
            named("HttpError", "Invalid, 401", code=401),
            named("RefreshError", "503", retryable=True),
        ),
    ],
)
def test_what_may_pass(error: Exception) -> None:
    assert final(error, URL) is None


@pytest.mark.parametrize("error", [FileExistsError("x"), IsADirectoryError("x"), NotADirectoryError("x")])
def test_what_stands_there_is_told_as_it_is(error: Exception) -> None:
    assert final(error, URL) is error


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("403 for url 'https://c/x?Expires=1&Signature=ab-c'.", "403 for url 'https://c/x'"),
        (
            "POST https://s/upload/o?uploadType=resumable&upload_id=abc failed",
            "POST https://s/upload/o failed",
        ),
        ("b/x/o?upload_id=abc", "b/x/o"),
        ("Illegal header value b'Bearer hf_abc\\n'", "Illegal header value b'Bearer ...'"),
        ("basic dXNlcjpwYXNz was refused", "basic ... was refused"),
        ("token hf_abcDEF012 and ya29.a0-b_c are wrong", "token hf_... and ya29.... are wrong"),
        ("proxy http://me:secret@proxy:8080 is away", "proxy http://proxy:8080 is away"),
        ("why? because", "why? because"),
        ("many\n  lines\tof it. ", "many lines of it"),
    ],
)
def test_nothing_secret_is_said(text: str, shown: str) -> None:
    assert words_of(RuntimeError(text)) == shown
    assert words_of(answered(400, text)) == shown


def test_words_are_few_and_never_none() -> None:
    assert len(words_of(RuntimeError("x" * 5000))) == MOST_WORDS
    assert words_of(RuntimeError()) == "RuntimeError"
    assert words_of(OSError(errno.EIO, "Input/output error")) == "Input/output error"
    assert words_of(KeyError(7)) == "7"
