"""A mirror of MNIST that serves well, or fails in every way that the fault suite names.

One server stands for many mirrors: the first part of a path says which, so that hundreds of them cost one port. What a
mirror does to a request is a script: a generator of bytes to send, seconds to wait, and RESET.
"""

from __future__ import annotations

import gzip
import itertools
import random
import socket
import socketserver
import ssl
import struct
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FOREVER = 3600.0  # seconds; a pause ends when the server is closed
RESET = None  # break the connection off with a TCP reset

Step = bytes | float | None


@dataclass(frozen=True)
class Request:
    """What a script is given: a file's name and content, all files, a random generator, and an address that refuses."""

    name: str
    content: bytes
    files: Mapping[str, bytes]
    rng: random.Random
    closed: str

    @property
    def middle(self) -> int:
        """Somewhere within the file."""
        return self.rng.randrange(1, len(self.content))


Script = Callable[[Request], Iterator[Step]]


@dataclass(frozen=True)
class Manner:
    """What a mirror is like.

    Attributes:
        script: what it does to a request.
        reason: a regular expression for what nnctl says about it.
        slow: whether it takes nnctl seconds to give it up.
        addresses: where it is, one of these at random.
    """

    script: Script
    reason: str
    slow: bool = False
    addresses: tuple[str, ...] = ("http://{plain}",)


class Mirrors:
    """The server, as a context manager.

    Attributes:
        asked: how often each file was asked of each mirror, by the mirror's label and the file's name.
        taken: bytes that the system took from each mirror for its clients, by the label.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.asked: Counter[tuple[str, str]] = Counter()
        self.taken: Counter[str] = Counter()
        self.over = threading.Event()
        self._numbers = itertools.count()
        self._manners: dict[str, tuple[Script, str]] = {}
        self._servers = (_Server(self, None), _Server(self, _secure()))
        # bound but not listening: connections are refused, and no other process can get the port
        self._closed = socket.socket()
        self._closed.bind(("127.0.0.1", 0))
        sockets = (self._servers[0].socket, self._servers[1].socket, self._closed)
        self._hosts = dict(
            zip(("plain", "secure", "closed"), (f"127.0.0.1:{s.getsockname()[1]}" for s in sockets), strict=True)
        )
        self.closed = f"http://{self._hosts['closed']}/"

    def __enter__(self) -> Mirrors:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._closed.close()

    def url(self, manner: Manner, seed: str = "") -> str:
        """The address of a new mirror, which ends with its label; by the same seed it does the same every time."""
        label = f"m{next(self._numbers)}"
        self._manners[label] = manner.script, seed
        return f"{random.Random(seed).choice(manner.addresses)}/{label}/".format(label=label, **self._hosts)

    def steps(self, label: str, name: str) -> Iterator[Step]:
        """What to do about a request; raises KeyError if there is no such mirror."""
        script, seed = self._manners[label]
        self.asked[label, name] += 1
        return script(Request(name, self.files.get(name, b""), self.files, random.Random(seed), self.closed))


def label(url: str) -> str:
    """The part of a mirror's address that tells it from the others."""
    return url.rstrip("/").rpartition("/")[2]


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, mirrors: Mirrors, secure: ssl.SSLContext | None) -> None:
        self.mirrors = mirrors
        self.secure = secure
        super().__init__(("127.0.0.1", 0), _Handler)
        # what the system buffers counts as taken: the less it may, the sharper the count
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)


class _Handler(socketserver.BaseRequestHandler):
    """Read one request and follow the script; that a client leaves is no error."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        self.request.settimeout(60)  # for a client that leaves in silence
        with suppress(OSError, LookupError, ValueError):
            if self.server.secure is not None:
                self.request = self.server.secure.wrap_socket(self.request, server_side=True)
            received = b""
            while b"\r\n\r\n" not in received and (piece := self.request.recv(2**16)):
                received += piece
                if received.startswith(b"\x16"):  # TLS, on a port that knows none
                    self.request.sendall(_head("Content-Length: 0", status="400 Bad Request"))
                    return
            _, name_of_mirror, name = received.split()[1].decode("ascii").split("/")
            for step in self.server.mirrors.steps(name_of_mirror, name):
                match step:
                    case bytes():
                        self._send(name_of_mirror, step)
                    case float():
                        if self.server.mirrors.over.wait(step):
                            return
                    case _:
                        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return

    def finish(self) -> None:
        self.request.close()

    def _send(self, name_of_mirror: str, data: bytes) -> None:
        view = memoryview(data)
        while view:
            count = self.request.send(view[: 2**16])
            self.server.mirrors.taken[name_of_mirror] += count
            view = view[count:]


def _head(*headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("ascii")


def _sized(size: int) -> bytes:
    return _head("Content-Type: application/gzip", f"Content-Length: {size}")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def good(request: Request) -> Iterator[Step]:
    """The file, whole and at once; where a mirror cannot be reached, this is what it would have said."""
    yield _sized(len(request.content))
    yield request.content


def paced(bytes_per_second: float) -> Script:
    """The file, at a certain pace."""

    def script(request: Request) -> Iterator[Step]:
        yield _sized(len(request.content))
        for start in range(0, len(request.content), 2**14):
            piece = request.content[start : start + 2**14]
            yield piece
            yield len(piece) / bytes_per_second

    return script


def _reset(request: Request) -> Iterator[Step]:
    yield _sized(len(request.content))
    yield request.content[: request.middle]
    yield 0.05
    yield RESET


def _silence(_request: Request) -> Iterator[Step]:
    yield FOREVER


def _stall(request: Request) -> Iterator[Step]:
    yield _sized(len(request.content))
    yield request.content[: request.middle]
    yield FOREVER


def _drip(request: Request) -> Iterator[Step]:
    yield _sized(len(request.content))
    for number in request.content:
        yield bytes([number])
        yield 1.0


def _status(request: Request) -> Iterator[Step]:
    status = request.rng.choice(["403 Forbidden", "404 Not Found", "503 Service Unavailable"])
    page = b"<html>no</html>"
    yield _head("Content-Type: text/html", f"Content-Length: {len(page)}", status=status)
    yield page


def _redirect_loop(request: Request) -> Iterator[Step]:
    yield _head(f"Location: again{request.rng.randrange(9)}.gz", "Content-Length: 0", status="302 Found")


def _redirect_to_nowhere(request: Request) -> Iterator[Step]:
    target = request.rng.choice([request.closed, "http://nowhere.invalid/", "file:///etc/passwd", "gopher://x/"])
    yield _head(f"Location: {target}", "Content-Length: 0", status="301 Moved Permanently")


def _page(request: Request) -> Iterator[Step]:
    page = b"<!doctype html><title>Please log in</title>".ljust(len(request.content))
    yield _head("Content-Type: text/html; charset=utf-8", f"Content-Length: {len(page)}")
    yield page


def _empty(request: Request) -> Iterator[Step]:
    yield request.rng.choice([_sized(0), _head(), _head(status="204 No Content")])


def _short(request: Request) -> Iterator[Step]:
    yield _sized(len(request.content))
    yield request.content[: request.middle]


def _long(request: Request) -> Iterator[Step]:
    extra = request.rng.randbytes(request.rng.randrange(1, 10_000))
    yield request.rng.choice([_head(), _sized(len(request.content + extra))])
    yield request.content + extra


def _endless(request: Request) -> Iterator[Step]:
    chunked = request.rng.random() < 0.5
    yield _head("Transfer-Encoding: chunked") if chunked else _head()
    while True:
        yield _chunk(request.content[:_PIECE]) if chunked else request.content[:_PIECE]


def _wrong_bytes(request: Request) -> Iterator[Step]:
    wrong = bytearray(request.content)
    wrong[request.rng.randrange(len(wrong))] ^= 1 << request.rng.randrange(8)
    if request.rng.random() < 0.5:
        wrong[:] = request.rng.randbytes(len(wrong))
    yield _sized(len(wrong))
    yield bytes(wrong)


def _other_file(request: Request) -> Iterator[Step]:
    other = request.rng.choice([content for content in request.files.values() if content != request.content])
    dressed = (other * (len(request.content) // len(other) + 1))[: len(request.content)]
    yield from request.rng.choice([[_sized(len(other)), other], [_head(), other], [_sized(len(dressed)), dressed]])


def _false_encoding(request: Request) -> Iterator[Step]:
    """Say gzip or chunked, and mean something else."""
    gzipped = _head("Content-Encoding: gzip")
    yield from request.rng.choice(
        [
            [gzipped, gzip.compress(request.content, 1)],
            [gzipped, gzip.decompress(request.content)[: 2 * len(request.content)]],
            [_head("Transfer-Encoding: chunked"), request.content],
            [_head("Transfer-Encoding: gzip, chunked"), _chunk(gzip.compress(request.content, 1)), b"0\r\n\r\n"],
        ]
    )


def _garbage(request: Request) -> Iterator[Step]:
    yield request.rng.choice([b"SSH-2.0-OpenSSH_9.9\r\n", b"\0" * 100, b"HTTP/9.9 what\r\n\r\n"])
    yield request.rng.randbytes(request.rng.randrange(100_000))


def _endless_headers(request: Request) -> Iterator[Step]:
    yield b"HTTP/1.1 200 OK\r\n"
    line = request.rng.choice([b"X-More: and more\r\n", b"X" * 1000])
    while True:
        yield line


def _dripping_headers(request: Request) -> Iterator[Step]:
    yield b"HTTP/1.1 200 OK\r\n"
    line = request.rng.choice([b"X-More: and more\r\n", b"X"])
    while True:
        yield line
        yield 0.3


def _interim_answers(_request: Request) -> Iterator[Step]:
    while True:
        yield b"HTTP/1.1 100 Continue\r\n\r\n" * 600


def _endless_trailer(request: Request) -> Iterator[Step]:
    yield _head("Transfer-Encoding: chunked")
    yield _chunk(request.content) + b"0\r\n"
    while True:
        yield b"X-More: and more\r\n" * 600


def _wrapped_bytes(request: Request) -> Iterator[Step]:
    yield _head("Transfer-Encoding: chunked")
    for number in request.content:
        yield b"1;%b\r\n%c\r\n" % (b"x" * 60_000, number)


def _mutated(request: Request) -> Iterator[Step]:
    """Headers with a few bytes changed, dropped or doubled, and then the file with one bit wrong."""
    head, rng = bytearray(_sized(len(request.content))), request.rng
    for _ in range(rng.randrange(1, 5)):
        start = rng.randrange(len(head))
        end = start + rng.randrange(1, 9)
        match rng.randrange(3):
            case 0:
                head[start] = rng.randrange(256)
            case 1:
                del head[start : min(end, len(head) - 1)]
            case _:
                head[start:start] = head[start:end] * rng.choice([1, 1, 1000])
    yield bytes(head)
    yield request.content[:-1] + bytes([request.content[-1] ^ 1])


_PIECE = 2**14
_BROKEN = "the connection (broke off within the file|failed)"
_NUMBER = r"[\d,]+"
_WRONG_SIZE = f"(offers {_NUMBER} bytes instead of|ended after {_NUMBER} of|sent more than the) {_NUMBER}"
_WRONG = "sent other bytes than the published ones"

FAULTS = {
    "refused connection": Manner(good, "the connection failed: ", addresses=("http://{closed}",)),
    "unresolvable name": Manner(good, "the connection failed: its name", addresses=("http://{label}.invalid",)),
    "reset in the middle": Manner(_reset, _BROKEN),
    "stalled at once": Manner(_silence, "no answer within 6 s", slow=True),
    "stalled in the middle": Manner(_stall, "slower than 50 kB/s", slow=True),
    "one byte a second": Manner(_drip, "slower than 50 kB/s", slow=True),
    "status 403, 404 or 503": Manner(_status, "HTTP (403 Forbidden|404 Not Found|503 Service Unavailable)"),
    "redirect loop": Manner(_redirect_loop, "redirects more than 5 times"),
    "redirect to nowhere": Manner(_redirect_to_nowhere, "the connection failed|not a usable http:// or https://"),
    "page with status 200": Manner(_page, "sent a web page instead of the file"),
    "empty body": Manner(_empty, f"HTTP 204 No Content|{_WRONG_SIZE}"),
    "short body": Manner(_short, _BROKEN),
    "too long body": Manner(_long, _WRONG_SIZE),
    "endless body": Manner(_endless, "sent more than the"),
    "wrong bytes": Manner(_wrong_bytes, _WRONG),
    "another file": Manner(_other_file, f"{_WRONG}|{_WRONG_SIZE}"),
    "false encoding": Manner(_false_encoding, f"{_BROKEN}|{_WRONG}|{_WRONG_SIZE}"),
    "bad TLS": Manner(
        good, f"no secure connection|{_BROKEN}", addresses=("https://{secure}", "https://{plain}", "http://{secure}")
    ),
    "garbage": Manner(_garbage, "the connection failed"),
    "endless headers": Manner(_endless_headers, "the connection failed|not a valid HTTP answer"),
    "dripping headers": Manner(_dripping_headers, "no answer within 6 s", slow=True),
}
WRAPPINGS = {
    "endless trailer": Manner(_endless_trailer, "."),
    "every byte in 60 kB of chunk": Manner(_wrapped_bytes, "."),
}
PROMISING = Manner(_interim_answers, ".")
GOOD = Manner(good, "")
MUTATED = Manner(_mutated, ".")

# Nobody vouches for this certificate of 127.0.0.1, and its key is worth nothing.
_CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgb3cOdM2m6G3vPvYX
GxyOjEstIq/RPRmcNBScSrh/RjGhRANCAASfE8HviALB/iYPhXn5dh3tbN7esjwy
XFnHN4b2DkvJL7tUe5MKQMup/GIS1XjQT3PDzYg8CFBcxGVEnLEGPP9x
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBkDCCATagAwIBAgIUBxtm9pFJsdq5M1Ygy2HPh+7y56kwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyMTEwMzUwN1oYDzIxMjYxMDI4
MTAzNTA3WjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASfE8HviALB/iYPhXn5dh3tbN7esjwyXFnHN4b2DkvJL7tUe5MKQMup
/GIS1XjQT3PDzYg8CFBcxGVEnLEGPP9xo2QwYjAdBgNVHQ4EFgQU9a+j5kcPPyUz
xPwv7kV8fHmZvu8wHwYDVR0jBBgwFoAU9a+j5kcPPyUzxPwv7kV8fHmZvu8wDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0gAMEUC
IDDMC2nJ5cAxwE1Bdrd2F+83tGL1szT1WaREbOloiPJjAiEAnea/DNqmgalJ3Olk
BVsOrcYp4w14KBaUP7kWB2nLSFM=
-----END CERTIFICATE-----
"""


def _secure() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "certificate.pem"
        path.write_text(_CERTIFICATE, "ascii")
        context.load_cert_chain(path)
    return context
