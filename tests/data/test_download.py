"""Downloads: whatever a mirror does wrong, the next one is asked, and no unverified file ever exists."""

import errno
import gzip
import hashlib
import multiprocessing
import os
import re
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import filelock
import pytest
from pytest_httpserver import HTTPServer

from nnctl import __version__
from nnctl.data.download import Limits, RemoteFile, download
from nnctl.errors import DataError, StorageError
from tests.support.files import failing

CONTENT = gzip.compress(os.urandom(200_000), mtime=0)
FILE = RemoteFile("digits.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
OTHER = RemoteFile("labels.gz", 3, hashlib.sha256(b"abc").hexdigest())
SHORT = Limits(answer=0.3, window=0.3, window_bytes=75_000, total=20.0)

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(CONTENT)
FOREVER = 60.0  # seconds; a pause ends when the test does
Script = Sequence[bytes | float]


class Mirror:
    """A server that answers every connection with a script: bytes to send, and seconds to wait."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self.over = threading.Event()
        self.played = threading.Event()  # the script to its end, once at least
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self.requests.append(connection.recv(65536))
            for step in self.script:
                if isinstance(step, bytes):
                    connection.sendall(step)
                else:
                    self.over.wait(step)
            self.played.set()

    def close(self) -> None:
        self.over.set()
        self.listener.close()


@pytest.fixture
def mirror() -> Iterator[Callable[[Script], Mirror]]:
    mirrors: list[Mirror] = []

    def make(script: Script) -> Mirror:
        mirrors.append(Mirror(script))
        return mirrors[-1]

    yield make
    for each in mirrors:
        each.close()


@pytest.fixture
def good(httpserver: HTTPServer) -> str:
    httpserver.expect_request(f"/{FILE.name}").respond_with_data(CONTENT)
    httpserver.expect_request(f"/{OTHER.name}").respond_with_data(b"abc")
    return httpserver.url_for("/")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


DRIP = [step for _ in range(400) for step in (b"x", 0.02)]
FAULTS: dict[str, tuple[Script, str]] = {
    "nothing at all": ([], "the connection failed: no valid HTTP answer"),
    "no answer": ([FOREVER], "no answer within 0.3 s"),
    "no HTTP": ([b"220 ftp.example.org ready\r\n"], "the connection failed: no valid HTTP answer"),
    "dripping headers": ([OK, *[s for _ in range(400) for s in (b"X-Drip: 1\r\n", 0.02)]], "no answer within 0.3 s"),
    "endless 100": ([b"HTTP/1.1 100 Continue\r\n\r\n", 0.01] * 400, "no answer within 0.3 s"),
    "403": ([b"HTTP/1.1 403 \x1b[31mEvil\r\nContent-Length: 0\r\n\r\n"], "HTTP 403 Forbidden"),
    "404": ([b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"], "HTTP 404 Not Found"),
    "503": ([b"HTTP/1.1 503 Nope\r\nContent-Length: 0\r\n\r\n"], "HTTP 503 Service Unavailable"),
    "unheard of": ([b"HTTP/1.1 799 Nope\r\nContent-Length: 0\r\n\r\n"], "HTTP 799"),
    "empty 204": ([b"HTTP/1.1 204 No Content\r\n\r\n"], "HTTP 204 No Content"),
    "redirect loop": (
        [b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"],
        "redirects more than 5",
    ),
    "redirect to a file": ([b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"], "not a usable http"),
    "redirect with an endless body": (
        [b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n", *[b"x" * 65536] * 4000],
        "redirects more than 5",
    ),
    "web page": ([OK + b"Content-Type: text/html; charset=utf-8\r\n" + LENGTH, CONTENT], "sent a web page"),
    "wrong length": ([OK + b"Content-Length: 7\r\n\r\n1234567"], "offers 7 bytes instead of 200,"),
    "short": ([OK + b"\r\n", CONTENT[:1000]], "ended after 1,000 of 200,"),
    "broken off": ([OK + LENGTH, CONTENT[:1000]], "the connection broke off within the file"),
    "broken off in a chunk": ([OK + b"Transfer-Encoding: chunked\r\n\r\n", chunk(CONTENT)[:99]], "broke off"),
    "too long": ([OK + b"\r\n", CONTENT + b"x"], "sent more than the 200,"),
    "endless": ([OK + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk(b"x" * 65536)] * 4000], "sent more than"),
    "stalled": ([OK + LENGTH, CONTENT[:1000], FOREVER], "slower than 250 kB/s"),
    "stalled late": ([OK + LENGTH, CONTENT[:-1], FOREVER], "slower than 250 kB/s"),
    "dripping": ([OK + LENGTH, *DRIP], "slower than 250 kB/s"),
    "wrong bytes": ([OK + LENGTH, bytes(len(CONTENT))], "their SHA-256 differs"),
    "one wrong bit": ([OK + LENGTH, CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])], "their SHA-256 differs"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_download_asks_the_next_mirror_after_one_that_fails(fault, mirror, good, tmp_path):
    script = FAULTS[fault][0]
    bad = mirror(script)
    download([bad.url, good], [FILE], tmp_path, limits=SHORT)
    if FOREVER in script or len(script) > 100:
        assert not bad.played.is_set()  # it was not waited for
    assert (tmp_path / FILE.name).read_bytes() == CONTENT
    assert names(tmp_path) == [FILE.name]
    assert bad.requests  # it was asked first


@pytest.mark.parametrize("fault", FAULTS)
def test_download_names_a_mirror_that_fails_with_its_reason(fault, mirror, tmp_path):
    script, reason = FAULTS[fault]
    bad = mirror(script)
    with pytest.raises(DataError) as caught:
        download([bad.url], [FILE], tmp_path, limits=SHORT)
    assert f"  {bad.url}: " in str(caught.value)
    assert reason in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("mirror.example.org/mnist", "not a usable http:// or https:// address"),
        ("ftp://mirror.example.org/", "not a usable http:// or https:// address"),
        ("file:///tmp/", "not a usable http:// or https:// address"),
        ("http://", "not a usable http:// or https:// address"),
        ("http://[::bad/", "not a usable http:// or https:// address"),
        ("http://127.0.0.1:99999/", "not a usable http:// or https:// address"),
        ("http://\u20ac:p@127.0.0.1:9/", "not a usable http:// or https:// address"),
        ("http://nowhere.invalid/", "its name cannot be resolved"),
    ],
)
def test_download_asks_the_next_mirror_after_an_unusable_address(address, reason, good, tmp_path, monkeypatch):
    resolve = socket.getaddrinfo

    def nowhere(host, *args, **kwargs):
        if host == "nowhere.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    download([address, good], [FILE], tmp_path, limits=SHORT)
    assert (tmp_path / FILE.name).read_bytes() == CONTENT
    with pytest.raises(DataError, match=reason):
        download([address], [OTHER], tmp_path, limits=SHORT)


def test_download_asks_the_next_mirror_when_a_name_lookup_hangs(good, tmp_path, monkeypatch):
    resolve, over, hung = socket.getaddrinfo, threading.Event(), threading.Event()

    def hang(host, *args, **kwargs):
        if host == "slow.invalid":
            over.wait(FOREVER)
            hung.set()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    download(["http://slow.invalid/", good], [FILE], tmp_path, limits=SHORT)
    assert not hung.is_set()  # it was not waited for
    over.set()
    assert (tmp_path / FILE.name).exists()


def test_download_asks_the_next_mirror_after_plain_http_in_place_of_https(mirror, good, tmp_path):
    secure = mirror([b"HTTP/1.1 400 Bad Request\r\n\r\n"]).url.replace("http:", "https:")
    download([secure, good], [FILE], tmp_path, limits=SHORT)
    assert (tmp_path / FILE.name).exists()
    with pytest.raises(DataError, match="no secure connection"):
        download([secure], [OTHER], tmp_path, limits=SHORT)


def test_download_error_names_each_mirror_on_a_separate_line(mirror, refusing, tmp_path):
    refusal = os.strerror(errno.ECONNREFUSED)
    missing, page = mirror(FAULTS["404"][0]), mirror(FAULTS["web page"][0])
    with pytest.raises(DataError) as caught:
        download([missing.url, refusing, page.url], [FILE], tmp_path, limits=SHORT)
    assert str(caught.value).splitlines() == [
        f"cannot fetch {FILE.name}, no mirror delivered it",
        f"  {missing.url}: HTTP 404 Not Found",
        f"  {refusing}: the connection failed: {refusal}",
        f"  {page.url}: sent a web page instead of the file",
    ]
    assert caught.value.exit_code == 3
    assert caught.value.hint


def test_download_asks_an_unreachable_mirror_for_no_other_file(mirror, good, tmp_path):
    silent = mirror([FOREVER])
    download([silent.url, good], [FILE, OTHER], tmp_path, limits=SHORT)
    assert len(silent.requests) == 1
    assert names(tmp_path) == [FILE.name, OTHER.name]


def test_download_error_of_a_later_file_still_names_a_mirror_given_up(mirror, httpserver, tmp_path):
    httpserver.expect_request(f"/{FILE.name}").respond_with_data(CONTENT)
    silent, half = mirror([FOREVER]), httpserver.url_for("/")
    with pytest.raises(DataError) as caught:
        download([silent.url, half], [FILE, OTHER], tmp_path, limits=SHORT)
    assert f"  {silent.url}: no answer within 0.3 s" in str(caught.value)
    assert names(tmp_path) == [FILE.name]  # what was fetched is retained


def test_download_asks_a_mirror_that_lacks_one_file_for_the_others(mirror, good, tmp_path):
    missing = mirror(FAULTS["404"][0])
    download([missing.url, good], [FILE, OTHER], tmp_path, limits=SHORT)
    assert len(missing.requests) == 2


def test_download_has_a_time_limit_that_a_fast_enough_mirror_cannot_stretch(mirror, tmp_path):
    steady = mirror([OK + LENGTH, *[step for _ in range(99) for step in (CONTENT[:8192], 0.05)]])
    limits = Limits(answer=0.6, window=0.6, window_bytes=10_000, total=0.8)
    with pytest.raises(DataError, match=r"not done when the 0\.8 s for the whole fetch were over"):
        download([steady.url], [FILE], tmp_path, limits=limits)
    assert not steady.played.is_set()


def test_download_lets_a_steady_mirror_take_longer_than_one_window(mirror, tmp_path):
    pieces = [CONTENT[start : start + 10_000] for start in range(0, len(CONTENT), 10_000)]
    steady = mirror([OK + LENGTH, *[step for piece in pieces for step in (piece, 0.05)]])
    download([steady.url], [FILE], tmp_path, limits=Limits(answer=0.4, window=0.5, window_bytes=30_000, total=20.0))
    assert (tmp_path / FILE.name).read_bytes() == CONTENT


@pytest.mark.parametrize("slash", ["", "/"])
def test_download_accepts_addresses_with_and_without_a_final_slash(slash, httpserver, tmp_path):
    httpserver.expect_request(f"/some/folder/{FILE.name}").respond_with_data(CONTENT)
    download([httpserver.url_for("/some/folder") + slash], [FILE], tmp_path)
    assert (tmp_path / FILE.name).exists()


def test_download_follows_a_redirect(httpserver, tmp_path):
    httpserver.expect_request(f"/old/{FILE.name}").respond_with_data("", 302, {"Location": f"../new/{FILE.name}"})
    httpserver.expect_request(f"/new/{FILE.name}").respond_with_data(CONTENT)
    download([httpserver.url_for("/old/")], [FILE], tmp_path)
    assert (tmp_path / FILE.name).read_bytes() == CONTENT


@pytest.mark.parametrize("label", [b"gzip", b"x-gzip", b"deflate"])
def test_download_saves_the_published_bytes_even_if_labelled_as_encoded(label, mirror, tmp_path):
    labelled = mirror([OK + b"Content-Encoding: " + label + b"\r\n" + LENGTH, CONTENT])
    download([labelled.url], [FILE], tmp_path, limits=SHORT)
    assert (tmp_path / FILE.name).read_bytes() == CONTENT


def test_download_request_says_who_asks_and_refuses_encodings(mirror, tmp_path):
    server = mirror([OK + LENGTH, CONTENT])
    download([server.url], [FILE], tmp_path, limits=SHORT)
    assert f"User-Agent: nnctl/{__version__}\r\n".encode() in server.requests[0]
    assert b"Accept-Encoding: identity\r\n" in server.requests[0]


def test_download_error_shows_no_password_or_token(refusing, tmp_path):
    secret = refusing.replace("//", "//user:s3cret@") + "mnist?token=s3cret"
    with pytest.raises(DataError) as caught:
        download([secret, "http://user:s3cret@[bad/"], [FILE], tmp_path, limits=SHORT)
    assert "s3cret" not in str(caught.value) + caught.value.hint
    assert refusing in str(caught.value)


def test_proxy_is_used_for_other_machines(mirror, tmp_path, monkeypatch):
    proxy = mirror([OK + LENGTH, CONTENT])
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    download(["http://mirror.invalid/"], [FILE], tmp_path, limits=SHORT)
    assert proxy.requests[0].startswith(b"GET http://mirror.invalid/digits.gz ")


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_proxy_is_not_used_for_this_machine(variable, good, refusing, tmp_path, monkeypatch):
    monkeypatch.setenv(variable, refusing)
    download([good.replace("localhost", "127.0.0.1")], [FILE], tmp_path, limits=SHORT)
    assert (tmp_path / FILE.name).exists()


def test_proxy_that_is_down_is_named(refusing, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", refusing)
    with pytest.raises(DataError, match="the proxy refused or cannot be reached"):
        download(["http://mirror.invalid/"], [FILE], tmp_path, limits=SHORT)


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        (
            "socks5://127.0.0.1:9",
            "the address of the proxy, .*, cannot be used: a SOCKS proxy needs the library PySocks",
        ),
        ("ftp://127.0.0.1:9", "the address of the proxy, .*, cannot be used$"),
        ("http://", "the address of the proxy, .*, cannot be used$"),
        ("http://[::bad", "the address of the proxy, .*, cannot be used$"),
        ("http://user:s3cret@127.0.0.1:99999", "the address of the proxy, .*, cannot be used$"),
    ],
)
def test_proxy_with_an_unusable_address_is_told_apart_from_a_mirror(proxy, reason, tmp_path, monkeypatch):
    monkeypatch.setenv("all_proxy", proxy)
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DataError) as caught:
        download(["http://mirror.invalid/", "file:///tmp/"], [FILE], tmp_path, limits=SHORT)
    first, second = caught.value.details
    assert re.search(reason, first)
    assert "not a usable http:// or https:// address" in second
    assert "s3cret" not in str(caught.value)


def test_certificates_that_are_missing_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    with pytest.raises(DataError, match=r"there are no certificates in /nowhere \(REQUESTS_CA_BUNDLE"):
        download(["https://127.0.0.1:9/"], [FILE], tmp_path, limits=SHORT)


NETRCS = {
    "not UTF-8": b"machine h login l password p\xe9\n",
    "no netrc": b"\0\x80\xff" * 99,
    "a password that no header can hold": "default login l password \u20ac\n".encode(),
    "cut short": b"machine localhost login",
    "empty": b"",
}


@pytest.mark.parametrize("content", NETRCS)
def test_netrc_with_rubbish_stops_no_download(content, good, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_bytes(NETRCS[content])
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    download([good], [FILE], tmp_path / "data", limits=SHORT)
    assert names(tmp_path / "data") == [FILE.name]


def test_netrc_password_is_sent(mirror, tmp_path, monkeypatch):
    guarded = mirror([OK + LENGTH, CONTENT])
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login l password p\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    download([guarded.url], [FILE], tmp_path / "data", limits=SHORT)
    assert b"Authorization: Basic bDpw" in guarded.requests[0]


def test_progress_counts_bytes_up_to_the_whole(good, tmp_path):
    calls: list[tuple[str, int, int]] = []
    download([good], [FILE], tmp_path, progress=lambda *call: calls.append(call))
    done = [call[1] for call in calls]
    assert done == sorted(done)
    assert calls[-1] == (FILE.name, FILE.size, FILE.size)
    assert len(calls) > 2


def test_download_leaves_a_good_file_alone(refusing, tmp_path):
    (tmp_path / FILE.name).write_bytes(CONTENT)
    download([refusing], [FILE], tmp_path, limits=SHORT)


def test_download_gets_a_good_file_again_by_force(mirror, tmp_path):
    (tmp_path / FILE.name).write_bytes(CONTENT)
    server = mirror([OK + LENGTH, CONTENT])
    download([server.url], [FILE], tmp_path, force=True, limits=SHORT)
    assert len(server.requests) == 1


def test_download_replaces_a_damaged_file(good, tmp_path):
    (tmp_path / FILE.name).write_bytes(bytes(len(CONTENT)))
    download([good], [FILE], tmp_path)
    assert (tmp_path / FILE.name).read_bytes() == CONTENT


def test_download_leaves_a_damaged_file_as_it_was_if_no_mirror_is_good(mirror, tmp_path):
    (tmp_path / FILE.name).write_bytes(b"the only copy")
    with pytest.raises(DataError):
        download([mirror(FAULTS["wrong bytes"][0]).url], [FILE], tmp_path, limits=SHORT)
    assert (tmp_path / FILE.name).read_bytes() == b"the only copy"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_download_gives_a_file_the_permissions_of_any_other_new_file(good, tmp_path):
    download([good], [FILE], tmp_path)
    (tmp_path / "ordinary").touch()
    assert stat.S_IMODE((tmp_path / FILE.name).stat().st_mode) == stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)


def test_download_reports_a_full_disk_and_leaves_nothing(good, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(StorageError, match="No space left on device"):
        download([good], [FILE], tmp_path)
    assert names(tmp_path) == []


def test_download_reports_a_system_without_threads_as_no_bug(good, tmp_path, monkeypatch):
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(StorageError, match="cannot start a thread") as caught:
        download([good], [FILE], tmp_path, limits=SHORT)
    assert "ulimit" in caught.value.hint
    assert names(tmp_path) == []


def test_download_reports_a_folder_that_cannot_be_made(good, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot create the folder"):
        download([good], [FILE], tmp_path / "file" / "mnist")


def test_download_leaves_nothing_when_interrupted(good, tmp_path):
    def interrupt(*_call: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download([good], [FILE], tmp_path, progress=interrupt)
    assert names(tmp_path) == []


def test_download_reports_a_lock_held_for_too_long(good, tmp_path):
    with filelock.FileLock(tmp_path / ".lock"), pytest.raises(DataError, match="another process"):
        download([good], [FILE], tmp_path, limits=Limits(total=0.1))


def test_download_by_several_processes_ends_with_one_good_copy(mirror, tmp_path):
    server = mirror([OK + LENGTH, CONTENT[:1000], 0.5, CONTENT[1000:]])
    spawn = multiprocessing.get_context("spawn")
    fetchers = [spawn.Process(target=download, args=([server.url], [FILE], tmp_path)) for _ in range(4)]
    for fetcher in fetchers:
        fetcher.start()
    for fetcher in fetchers:
        fetcher.join(30)
    assert [fetcher.exitcode for fetcher in fetchers] == [0] * 4
    assert len(server.requests) == 1
    assert names(tmp_path) == [FILE.name]
    assert (tmp_path / FILE.name).read_bytes() == CONTENT


def test_download_sweeps_what_a_killed_one_left(mirror, good, tmp_path):
    (tmp_path / ".something-else.tmp").touch()
    half = mirror([OK + LENGTH, CONTENT[:100_000], FOREVER])
    fetcher = multiprocessing.get_context("spawn").Process(target=download, args=([half.url], [FILE], tmp_path))
    fetcher.start()
    limit = time.monotonic() + 20
    while not [name for name in names(tmp_path) if name.startswith(".nnctl")] and time.monotonic() < limit:
        time.sleep(0.01)
    fetcher.kill()
    fetcher.join(10)
    assert fetcher.exitcode
    assert len(names(tmp_path)) == 2  # the half file is there, under a temporary name

    download([good], [FILE], tmp_path)
    assert names(tmp_path) == [".something-else.tmp", FILE.name]
