"""What the libraries of stores raise, told apart: what is final, and words for it that hold no secret.

Each library has errors of its own, and none is imported here: they are known by their names, and by the
status of the answer that they carry.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator

from drsformer_cli.errors import SetupError, StorageError, UsageError

#: How somebody says who they are to each kind of store.
SIGN_IN = {
    "s3": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login",
    "hf": "set HF_TOKEN, or run hf auth login",
}
MOST_WORDS = 300  # characters of what a store says
_NO_CREDENTIALS = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "DefaultCredentialsError",
    "LocalTokenNotFoundError",
    "RefreshError",
)
_NO_ADDRESS = "ParamValidationError"  # botocore's; those of others are ValueErrors
_MAY_PASS = (408, 425, 429)
_SECRETS = (
    (
        re.compile(r"(?<=[^\s?'\"<>])\?[^\s'\"<>=]+=[^\s'\"<>]*"),
        "",
    ),  # a query: a signature, the id of an upload
    (re.compile(r"://[^/\s@]+@"), "://"),  # of a proxy
    (re.compile(r"\b(Bearer|Basic) +[^\s'\"]+", re.IGNORECASE), r"\1 ..."),
    (re.compile(r"\b(hf_|ya29\.)[\w.-]+"), r"\1..."),
)


def final(error: Exception, url: str) -> Exception | None:
    """Return what to raise for an error that asking again will not change, None for one that may pass.

    That is SetupError where credentials are missing, UsageError for what is no address at all, an OSError
    with `strerror` for an object that is not there, or may not be touched, and StorageError for all else.
    """
    name, status, words = type(error).__name__, _status(error), words_of(error)
    how = SIGN_IN[url.partition("://")[0].lower()]
    if any(getattr(each, "retryable", False) for each in _with_cause(error)):
        return None  # Google's sign-in could not be asked, which is told as if it had refused
    if status == 401:
        return SetupError(f"{url} needs credentials, or is not there: {how}, or correct the name ({words}).")
    if name in _NO_CREDENTIALS:
        return SetupError(f"{url} needs credentials: {how} ({words}).")
    if name == "OfflineModeIsEnabled":
        return SetupError(f"{url} cannot be reached: unset HF_HUB_OFFLINE ({words}).")
    if isinstance(error, (FileExistsError, IsADirectoryError, NotADirectoryError)):
        return error
    if isinstance(error, PermissionError) or status == 403:
        return PermissionError(errno.EACCES, f"access is denied ({words})", url)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return FileNotFoundError(errno.ENOENT, "No such object", url)
    if status is not None and 400 <= status < 500 and status not in _MAY_PASS:
        return StorageError(f"{url} is refused by the store: {words}.")
    cut_short = isinstance(error, (json.JSONDecodeError, UnicodeError))
    if name == _NO_ADDRESS or (isinstance(error, (ValueError, NotImplementedError)) and not cut_short):
        return UsageError(f"{url} is no address of a store: {words}.")
    return None


def words_of(error: BaseException) -> str:
    """Return in one line what an error says, without the dot at its end, and without what nobody may see."""
    text = next(filter(None, map(_said, _with_cause(error))), None) or _text(error)
    text = " ".join(text.split())
    for pattern, put in _SECRETS:
        text = pattern.sub(put, text)
    return text[:MOST_WORDS].rstrip(". ") or type(error).__name__


def _said(error: BaseException) -> str | None:
    """Return the store's own words, if an error keeps them apart from those of the library."""
    if type(error).__name__ == "RefreshError":  # it tells why credentials are refused
        return _text(error)
    if type(error) is OSError and str(error).startswith("Forbidden"):
        return str(error).partition("\n")[2]
    return getattr(error, "server_message", None)


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    first = error.args[0] if error.args else ""
    return first if isinstance(first, str) else str(error)


def _status(error: BaseException) -> int | None:
    """Return the status of the answer that an error, or the one that it was raised from, tells of."""
    for each in _with_cause(error):
        answer = getattr(each, "response", None)
        codes = (
            getattr(answer, "status_code", None),
            getattr(each, "code", None),
            getattr(each, "status", None),
        )
        for status in codes:
            if isinstance(status, int) or (isinstance(status, str) and status.isdecimal()):
                return int(status)
        if type(each) is OSError and str(each).startswith("Forbidden"):  # gcsfs tells it no other way
            return 403
        if type(each) is ValueError and str(each).startswith("Bad Request"):
            return 400
    return None


def _with_cause(error: BaseException) -> Iterator[BaseException]:
    yield error
    if error.__cause__ is not None:
        yield error.__cause__
