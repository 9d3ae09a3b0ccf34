"""Ask a mirror for one file, take no more from it than the file is long, and tell in plain words what went wrong."""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from nnctl import __version__

_PIECE = 2**16  # bytes
_MAX_REDIRECTS = 5
_WRAPPING = 2**20  # bytes that may come around a file: the lengths of its chunks, and what follows the last
_HEADERS = {"User-Agent": f"nnctl/{__version__}", "Accept-Encoding": "identity"}  # the bytes as they were published


_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    urllib3.exceptions.LocationValueError,
    UnicodeError,
)


class FaultError(Exception):
    """A mirror has failed; `permanent` if trying it for another file would only waste time."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent


def receive(url: str, size: int, timeout: float) -> Iterator[bytes]:
    """Yield b"" when the file begins, then its pieces: at most one byte more than `size`.

    Args:
        url: of the file.
        size: its bytes.
        timeout: seconds to wait for a connection, and for each piece.

    Raises:
        FaultError: what the mirror says of the file already shows that it is not the one.
        requests.RequestException, OSError, ...: as happens in networks; `fault` puts them into words.
    """
    with _Session() as session, _answer(session, url, size, timeout) as response:
        body: Any = response.raw._original_response  # by which requests itself reaches the stream
        body.fp = _Metered(body.fp, size + _WRAPPING)
        yield b""
        left = size + 1
        # not iter_content(), which would unpack what a server labels as Content-Encoding: gzip
        while left and (piece := response.raw.read(min(_PIECE, left), decode_content=False)):
            yield piece
            left -= len(piece)


class _Metered:
    """What a connection brings, up to a limit: http.client skips what is sent around a file, however much that is."""

    def __init__(self, stream: io.BufferedReader, allowed: int) -> None:
        self._stream = stream
        self._left = allowed
        self.close, self.flush = stream.close, stream.flush

    def read(self, size: int = -1) -> bytes:
        return self._counted(self._stream.read(size))

    def readline(self, size: int = -1) -> bytes:
        return self._counted(self._stream.readline(size))

    def _counted(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise FaultError(f"sent more than {_WRAPPING:,} bytes besides the file")
        return data


class _Session(requests.Session):
    """What `requests` does otherwise: it follows redirects, and stumbles over a ~/.netrc that is not UTF-8."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        """None: `_answer` follows redirects, as here the body of each would be read, however long it is."""
        return None

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Do without the passwords of a ~/.netrc that cannot be used."""
        try:
            return super().prepare_request(request)
        except ValueError:
            self.trust_env = False
            return super().prepare_request(request)
        finally:
            self.trust_env = True


def _answer(session: requests.Session, url: str, size: int, timeout: float) -> requests.Response:
    """Ask for a file, follow redirects, and look at the headers before reading any further."""
    for _ in range(_MAX_REDIRECTS + 1):
        # a proxy for the outside world cannot know this machine's own servers
        proxies = {"http": "", "https": ""} if _is_loopback(url) else None
        try:
            response = session.get(url, headers=_HEADERS, stream=True, timeout=timeout, proxies=proxies)
        except (OSError, *_ADDRESS) as error:
            if reason := _fault_of_settings(session, url, error):
                raise FaultError(reason, permanent=True) from error
            raise
        if not response.is_redirect:
            break
        response.close()
        url = urljoin(url, response.headers["Location"])
    else:
        raise FaultError(f"redirects more than {_MAX_REDIRECTS} times")
    try:
        if response.status_code != requests.codes.ok:
            phrase = http.client.responses.get(response.status_code, "")  # the server's own may hold anything
            raise FaultError(f"HTTP {response.status_code} {phrase}".rstrip())
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise FaultError("sent a web page instead of the file")
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) != size:
            raise FaultError(f"offers {int(length):,} bytes instead of {size:,}")
    except FaultError:
        response.close()
        raise
    return response


def _fault_of_settings(session: requests.Session, url: str, error: Exception) -> str:
    """What in the environment, rather than of the mirror, made a request fail; empty if nothing is known to."""
    try:
        settings = session.merge_environment_settings(url, {}, None, None, None)
        proxy = requests.utils.select_proxy(url, settings["proxies"])
    except ValueError:  # it is no address
        return ""
    if proxy and isinstance(error, _ADDRESS) and url.startswith(("http://", "https://")):
        missing = ": a SOCKS proxy needs the library PySocks" if proxy.startswith("socks") else ""
        return f"the address of the proxy, such as in HTTPS_PROXY or ALL_PROXY, cannot be used{missing}"
    certificates = settings["verify"]
    if url.startswith("https://") and isinstance(certificates, str) and not Path(certificates).exists():
        return f"there are no certificates in {certificates} (REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE)"
    return ""


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# The first type that fits tells what happened; requests' own messages are long, and show the URL.
_REASONS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (_ADDRESS, "not a usable http:// or https:// address"),
    (requests.exceptions.SSLError, "no secure connection"),
    (requests.exceptions.ProxyError, "the proxy refused or cannot be reached"),
    (requests.exceptions.ConnectionError, "the connection failed"),
    (urllib3.exceptions.HTTPError, "the connection broke off within the file"),
    (http.client.HTTPException, "not a valid HTTP answer"),
    (OSError, "the connection failed"),
    (ValueError, "not a valid HTTP answer"),
)


def fault(error: Exception) -> FaultError:
    """Tell in plain words how a mirror failed; anything but a failure of the network is a bug, and raised again."""
    if isinstance(error, FaultError):
        return error
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            cause = _cause(error)
            return FaultError(
                f"{reason}: {cause}" if cause else reason,
                permanent=isinstance(error, requests.exceptions.ConnectionError),
            )
    raise error


def _cause(error: BaseException) -> str:
    """What lies below an error of `requests`, as far as it helps."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, http.client.BadStatusLine):
            return "no valid HTTP answer"
        if isinstance(below, socket.gaierror):
            return "its name cannot be resolved"
        if isinstance(below, OSError) and below.errno is not None and below.strerror:
            return below.strerror
        below = below.__cause__ or below.__context__
    return ""
