"""Bringing the bytes of one file over the net: HTTP through pooch, Google Drive through gdown.

Both write into a `Sink`, which bounds the size and reports progress. A transfer that fails in a way that may
pass is tried again, from the start, after a growing pause.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urljoin, urlsplit, urlunsplit

from drsformer_cli import __version__
from drsformer_cli.errors import DownloadError, StorageError, UsageError
from drsformer_cli.weights.checkpoint import MAX_BYTES
from drsformer_cli.weights.sniff import is_cut_short, is_web_page

if TYPE_CHECKING:
    from requests import HTTPError, Response

#: Called with the bytes that are here and the bytes there will be, None where the server does not say.
Progress = Callable[[int, "int | None"], None]

#: What a server answers for what it does not have; stores of objects hide that behind 403.
_MISSING = {403, 404, 410}
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Policy:
    """How hard to try.

    Attributes:
        attempts: most tries of one address.
        pause: seconds before the second try, doubled before each further one.
        connect: seconds to wait for a connection.
        silence: seconds to wait for the next bytes; a slow transfer may take as long as it likes.
        limit: most bytes of a file.
    """

    attempts: int = 4
    pause: float = 1.0
    connect: float = 15.0
    silence: float = 60.0
    limit: int = MAX_BYTES


class Sink:
    """Where a downloader writes: a file of at most `limit` bytes, with a progress report for every piece."""

    def __init__(self, file: BinaryIO, limit: int, progress: Progress | None) -> None:
        self._file, self._limit, self._progress = file, limit, progress
        self.done = 0
        self.total: int | None = None

    def expect(self, total: int | None) -> None:
        """Note how many bytes the server says there are.

        Raises:
            DownloadError: if they are more than allowed.
        """
        self.total = total
        self._bound(total or 0)

    def write(self, data: bytes) -> int:
        """Write a piece.

        Raises:
            DownloadError: if the file gets bigger than allowed.
            StorageError: if the disk does not take it.
        """
        self.done += len(data)
        self._bound(self.done)
        try:
            self._file.write(data)
        except OSError as error:
            raise StorageError(f"cannot write {self._file.name}: {error.strerror or error}") from None
        if self._progress is not None:
            self._progress(self.done, self.total)
        return len(data)

    def flush(self) -> None:
        """Do nothing: pieces are big, and the file is flushed when it is closed."""

    def _bound(self, size: int) -> None:
        if size > self._limit:
            raise DownloadError(f"more than {self._limit:,} bytes would come; no DRSformer is that big")


def check_url(url: str) -> str:
    """Return `url` if it is a whole http or https address.

    Raises:
        UsageError: if not.
    """
    try:
        parts = urlsplit(url)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:  # brackets or characters that no host has
        whole = False
    if not whole:
        raise UsageError(
            f"{shown(url)!r} is no http or https address; a file that is here already is taken in with "
            "`derain weights import FILE`"
        )
    return url


def shown(url: str) -> str:
    """Return `url` without what may be secret: user, password and query; of no address, its beginning."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("://")[0] + "://..."
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def over_http(urls: Sequence[str], target: Path, *, policy: Policy, progress: Progress | None = None) -> str:
    """Download the first of `urls` that exists to `target`, and return it.

    Raises:
        DownloadError: if none could be had whole, or a web page came; the sentence names the address.
        StorageError: if `target` cannot be written.
    """
    from requests import HTTPError

    for url in urls:
        try:
            _repeat(partial(_http, url, policy), target, policy, progress)
        except HTTPError as error:
            if _status(error) in _MISSING and url != urls[-1]:
                continue
            raise _failure(" and ".join(map(shown, urls)), error, policy) from None
        except (OSError, ValueError) as error:
            raise _failure(shown(url), error, policy) from None
        if _holds_page(target):
            raise DownloadError(f"{shown(url)} answered with a web page instead of a checkpoint")
        return url
    raise UsageError("no address was given")


def over_drive(file_id: str, target: Path, *, policy: Policy, progress: Progress | None = None) -> None:
    """Download a public Google Drive file to `target`.

    Raises:
        DownloadError: if it could not be had whole, or Drive answered with a web page.
        StorageError: if `target` cannot be written.
    """
    from gdown.exceptions import FileURLRetrievalError

    page = DownloadError(
        "Google Drive answered with a web page instead of the file (a quota is used up, or a sign-in wanted)"
    )
    try:
        _repeat(partial(_drive, file_id, policy), target, policy, progress)
    except FileURLRetrievalError:
        raise page from None
    except (OSError, ValueError) as error:
        raise _failure("Google Drive", error, policy) from None
    if _holds_page(target):
        raise page


def _repeat(
    transfer: Callable[[Sink], None], target: Path, policy: Policy, progress: Progress | None
) -> None:
    """Run `transfer` until `target` is whole, or the error is not one that may pass, or attempts run out."""
    for attempt in range(1, policy.attempts + 1):
        try:
            with target.open("wb") as file:
                sink = Sink(file, policy.limit, progress)
                transfer(sink)
            if sink.total is not None and sink.done != sink.total:
                raise ConnectionError(f"{sink.done} of {sink.total} bytes came")
            if sink.total is None and (sink.done == 0 or is_cut_short(target)):
                raise ConnectionError(f"{sink.done} bytes came")
        except (OSError, ValueError) as error:  # errors of requests are OSErrors too
            if attempt == policy.attempts or not _may_pass(error):
                raise
            time.sleep(policy.pause * 2 ** (attempt - 1))
        else:
            return


def _http(url: str, policy: Policy, sink: Sink) -> None:
    from pooch import HTTPDownloader

    watch = _Watch(sink)
    # As they are: a compressed answer could not be compared with the length the server gives.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"derain/{__version__}"}
    timeout = (policy.connect, policy.silence)
    fetch = HTTPDownloader(chunk_size=_CHUNK, timeout=timeout, headers=headers, hooks={"response": watch})
    try:
        fetch(url, sink, None)
    finally:
        watch.close()


def _drive(file_id: str, policy: Policy, sink: Sink) -> None:
    import gdown
    from gdown.exceptions import DownloadError as Incomplete
    from gdown.exceptions import FileURLRetrievalError

    try:
        gdown.download(
            id=file_id,
            output=sink,
            quiet=True,
            use_cookies=False,
            timeout=(policy.connect, policy.silence),
            progress=lambda _done, total: sink.expect(total),
        )
    except FileURLRetrievalError:
        raise
    except Incomplete as error:
        raise ConnectionError(str(error)) from None


class _Watch:
    """Sees each answer before its body is read: follows no redirect into the open, and notes the length."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._response: Response | None = None

    def __call__(self, response: Response, **_: object) -> None:
        self._response = response
        if response.is_redirect:
            target = urljoin(response.url, response.headers["location"])
            if _is_guarded(response.url) and not _is_guarded(target):
                raise DownloadError(f"{shown(response.url)} leads to {shown(target)}, which is not encrypted")
        elif response.ok and response.headers.get("Content-Encoding", "identity") == "identity":
            length = response.headers.get("Content-Length", "")
            self._sink.expect(int(length) if length.isdecimal() else None)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()


def _is_guarded(url: str) -> bool:
    """Whether nobody on the way can change what comes from `url`: https, or this machine itself."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "https" or host in {"localhost", "::1"} or host.startswith("127.")


def _may_pass(error: Exception) -> bool:
    from requests import ConnectionError as Unreachable
    from requests import HTTPError, Timeout
    from requests.exceptions import ChunkedEncodingError, ContentDecodingError, SSLError

    if isinstance(error, HTTPError):
        return _status(error) in _PASSING
    if isinstance(error, SSLError):
        return False
    passing = (Unreachable, Timeout, ChunkedEncodingError, ContentDecodingError, ConnectionError)
    return isinstance(error, passing)


def _failure(where: str, error: Exception, policy: Policy) -> DownloadError | StorageError:
    """Turn what stopped a transfer into an error for the user."""
    from requests import RequestException

    if isinstance(error, OSError) and not isinstance(error, (RequestException, ConnectionError)):
        return StorageError(f"the download cannot be written: {error.strerror or error}")
    return DownloadError(f"{where}: {_explain(error, policy)}")


def _status(error: HTTPError) -> int:
    return error.response.status_code if error.response is not None else 0


def _explain(error: Exception, policy: Policy) -> str:
    """Say in a few words why a transfer failed in the end."""
    from requests import ConnectionError as Unreachable
    from requests import ConnectTimeout, HTTPError, Timeout
    from requests.exceptions import ChunkedEncodingError, SSLError
    from urllib3.exceptions import ReadTimeoutError

    tried = f" ({policy.attempts} attempts)" if _may_pass(error) and policy.attempts > 1 else ""
    if isinstance(error, HTTPError):
        return f"the server answered {_status(error)}{tried}"
    if isinstance(error, SSLError):
        return "the server's certificate cannot be trusted"
    if isinstance(error, ConnectTimeout):
        return f"the server cannot be reached{tried}"
    # A silence in the middle of a body comes as a lost connection that wraps the timeout.
    if isinstance(error, Timeout) or (error.args and isinstance(error.args[0], ReadTimeoutError)):
        return f"nothing came for {policy.silence:g} seconds{tried}"
    if isinstance(error, Unreachable):
        return f"the server cannot be reached{tried}"
    if isinstance(error, (ChunkedEncodingError, ConnectionError)):
        return f"the connection was cut before the whole file was here{tried}"
    return "the request failed"


def _holds_page(path: Path) -> bool:
    with path.open("rb") as file:
        return is_web_page(file.read(512))
