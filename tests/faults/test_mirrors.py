"""Whatever mirrors and caches do, nothing unverified is used, time and bytes are bounded, and the cache works after it.

The mirrors that nnctl knows are out of reach here: the proxy named for them refuses every connection.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from nnctl.data.catalog import CATALOG
from tests.faults.faulty import FULL, amount, assert_spoken
from tests.faults.mirror import FAULTS, GOOD, MUTATED, PROMISING, WRAPPINGS, Manner, Mirrors, label, paced
from tests.support.process import start_nnctl

pytestmark = pytest.mark.mnist

MNIST = CATALOG["mnist"]
SHA256 = {f"{file.name}.gz": file.gz_sha256 for file in MNIST.files} | {file.name: file.sha256 for file in MNIST.files}
SIZES = {f"{file.name}.gz": file.gz_size for file in MNIST.files}
PACKED = sorted(SIZES, key=SIZES.__getitem__)  # the smallest first
LITTLE = 4 * 2**20  # bytes that the system may take for a client that wants no more, on both sides of a connection
BOUND = 180  # seconds
FAST = [kind for kind, manner in FAULTS.items() if not manner.slow]


@pytest.fixture(scope="module")
def published(mnist_files: Path) -> dict[str, bytes]:
    """The published files by name; checked here, as all that follows is measured by them."""
    files = {name: (mnist_files / name).read_bytes() for name in PACKED}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in files.items()} == {n: SHA256[n] for n in PACKED}
    return files


@pytest.fixture
def mirrors(published: dict[str, bytes]) -> Iterator[Mirrors]:
    with Mirrors(published) as server:
        yield server


def begin(*arguments: object, cwd: Path, mirrors: Mirrors, **variables: str) -> subprocess.Popen[str]:
    """Start nnctl where only this machine's own servers can be reached."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        variables |= {name: mirrors.closed, name.upper(): mirrors.closed}
    variables |= dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,.invalid")
    return start_nnctl(*arguments, cwd=cwd, **variables, OPENBLAS_NUM_THREADS="1")


def run(*arguments: object, cwd: Path, mirrors: Mirrors, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run nnctl to its end, which must come within the bound."""
    with begin(*arguments, cwd=cwd, mirrors=mirrors, **variables) as process:
        try:
            out, err = process.communicate(timeout=BOUND)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def fetching(urls: Iterable[str], *more: str) -> list[str]:
    """The command that fetches MNIST into `d` from these mirrors."""
    return ["data", "fetch", "mnist", "--quiet", "--data-dir", "d", *(f"--mirror={url}" for url in urls), *more]


def wrong_files(folder: Path) -> list[str]:
    """The files with final names in a cache that are not the published ones."""
    return [
        path.name
        for path in folder.iterdir()
        if path.name in SHA256 and hashlib.sha256(path.read_bytes()).hexdigest() != SHA256[path.name]
    ]


def assert_complete(folder: Path) -> None:
    """The four published files, and no temporary ones."""
    assert {path.name for path in folder.iterdir()} - {".lock"} >= set(PACKED)
    assert wrong_files(folder) == []
    assert temporary_files(folder) == []


def temporary_files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name not in SHA256 and path.name != ".lock"]


@contextmanager
def case(*what: object) -> Iterator[None]:
    """Add to a failure what it takes to repeat it."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"case: {', '.join(map(str, what))}")
        raise


def at_once(work: Callable[..., None], cases: Iterable[tuple[object, ...]], threads: int) -> None:
    """Do `work` for every case; the first failure is raised."""
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, *each) for each in cases]:
            done.result()


# 1. mirrors that fail


def assert_survived(mirrors: Mirrors, folder: Path, kinds: list[str], missing: list[str], seed: int) -> None:
    """Faulty mirrors alone leave nothing but an error that names them; before a good one they change nothing."""
    cache = folder / "d" / "mnist"
    cache.mkdir(parents=True)
    there = sorted(set(PACKED) - set(missing))
    for name in there:
        (cache / name).write_bytes(mirrors.files[name])

    def faulty(kinds: list[str]) -> dict[str, str]:
        return {kind: mirrors.url(FAULTS[kind], f"{kind} {missing} {seed}") for kind in kinds}

    bad = faulty(kinds)
    done = run(*fetching(bad.values()), cwd=folder, mirrors=mirrors)
    assert_spoken(done, 3)
    for kind, url in bad.items():
        assert re.search(f"^ +{re.escape(url)}: ({FAULTS[kind].reason})", done.stderr, re.MULTILINE), done.stderr
    for url in MNIST.mirrors:
        assert f" {url}: the proxy refused or cannot be reached" in done.stderr
    assert sorted(path.name for path in cache.iterdir() if path.name != ".lock") == there
    assert_bounded(mirrors, bad)

    # the slow ones twice would take too long for the quick part
    bad = faulty([kind for kind in kinds if FULL or kind in FAST])
    done = run(*fetching([*bad.values(), mirrors.url(GOOD)]), cwd=folder, mirrors=mirrors)
    assert (done.returncode, done.stderr) == (0, "")
    assert_complete(cache)
    assert_bounded(mirrors, bad)
    shutil.rmtree(folder)


def assert_bounded(mirrors: Mirrors, bad: dict[str, str]) -> None:
    """No more was taken from a mirror than the files are long, and a little."""
    for kind, url in bad.items():
        asked = [name for mirror, name in list(mirrors.asked) if mirror == label(url)]
        assert asked or not mirrors.taken[label(url)]
        allowed = sum(SIZES.get(name, 0) for name in asked) + LITTLE
        assert mirrors.taken[label(url)] <= allowed, f"{kind}: {mirrors.taken[label(url)]:,} bytes"


@pytest.mark.parametrize(
    "kinds",
    [[kind] for kind in FAULTS] if FULL else [[*FAST, "stalled at once"]],
    ids=lambda kinds: kinds[0] if FULL else "many",
)
def test_faulty_mirrors_lead_to_the_next_or_to_an_error_that_names_them(
    kinds: list[str], mirrors: Mirrors, tmp_path: Path
) -> None:
    """Quick: all but the slow kinds (and one of these) in one fetch. Full: each kind with each file by five seeds."""
    numbers = itertools.count()

    def work(missing: list[str], seed: int) -> None:
        with case(kinds, missing, f"seed {seed}"):
            assert_survived(mirrors, tmp_path / str(next(numbers)), kinds, missing, seed)

    cases = itertools.product([[name] for name in PACKED], range(5)) if FULL else [(PACKED, 0)]
    at_once(work, cases, threads=20 if FAULTS[kinds[0]].slow else 4)


def test_mutated_headers_are_no_more_than_a_faulty_mirror(mirrors: Mirrors, tmp_path: Path) -> None:
    for first in range(0, amount(60, 3000), 60):
        seeds = range(first, first + 60)
        with case("seeds", seeds):
            urls = [mirrors.url(MUTATED, str(seed)) for seed in seeds]
            done = run(*fetching(urls), cwd=tmp_path, mirrors=mirrors)
            assert_spoken(done, 3)
            assert all(f" {url}: " in done.stderr for url in urls)
            assert [path.name for path in (tmp_path / "d" / "mnist").iterdir()] == [".lock"]


@pytest.mark.skipif(not FULL, reason="takes three minutes: no mirror was slow for that long; FAULTS=full tries one")
def test_mirror_that_is_hardly_fast_enough_is_given_up_within_three_minutes(mirrors: Mirrors, tmp_path: Path) -> None:
    crawling = mirrors.url(Manner(paced(54_000), ""))
    done = run(*fetching([crawling]), cwd=tmp_path, mirrors=mirrors)
    assert_spoken(done, 3)
    assert f" {crawling}: not done when the 170 s for the whole fetch were over" in done.stderr
    assert [path.name for path in (tmp_path / "d" / "mnist").iterdir()] == [".lock"]


@pytest.mark.parametrize("kind", WRAPPINGS)
def test_bytes_around_a_file_are_bounded_too(kind: str, mirrors: Mirrors, tmp_path: Path) -> None:
    cache = tmp_path / "d" / "mnist"
    cache.mkdir(parents=True)
    for name in PACKED[1:]:
        (cache / name).write_bytes(mirrors.files[name])
    bad = {kind: mirrors.url(WRAPPINGS[kind])}
    run(*fetching(bad.values()), cwd=tmp_path, mirrors=mirrors)
    assert_bounded(mirrors, bad)


@pytest.mark.skipif(not FULL, reason="needs FAULTS=full, as it takes 6 s: no mirror promised an answer without end")
def test_mirror_that_promises_an_answer_without_end_is_left(mirrors: Mirrors, tmp_path: Path) -> None:
    bad, good = mirrors.url(PROMISING), mirrors.url(GOOD)
    done = run(*fetching([bad, good]), cwd=tmp_path, mirrors=mirrors)
    assert done.returncode == 0, done.stderr
    assert wrong_files(tmp_path / "d" / "mnist") == []


# 2. damaged caches


@pytest.fixture(scope="module")
def pristine(published: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the published files and their unpacked copies."""
    folder = tmp_path_factory.mktemp("pristine")
    for name, data in published.items():
        (folder / name).write_bytes(data)
        (folder / name.removesuffix(".gz")).write_bytes(gzip.decompress(data))
    assert wrong_files(folder) == []
    return folder


TRAIN = (
    "train",
    "--json",
    "--quiet",
    "--data-dir=d",
    "--set=data.dataset=mnist",
    "--set=data.train_limit=320",
    "--set=data.validation=64",
    "--set=network.hidden=[8]",
    "--set=train.epochs=1",
)


def learnt(done: subprocess.CompletedProcess[str]) -> tuple[str, object]:
    """What came of a training: no two datasets have the same."""
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    return result["digest"], result["test"]


@pytest.fixture(scope="module")
def expected(published: dict[str, bytes], pristine: Path, tmp_path_factory: pytest.TempPathFactory) -> object:
    """What comes of a training on the published bits."""
    folder = tmp_path_factory.mktemp("expected")
    shutil.copytree(pristine, folder / "d" / "mnist", copy_function=os.link)
    with Mirrors(published) as mirrors:
        return learnt(run(*TRAIN, "--offline", cwd=folder, mirrors=mirrors))


def spoil(path: Path, damage: str, rng: random.Random) -> None:
    """Do damage to a file; its bytes may be shared with other caches, so that it is never written to."""
    data = bytearray(path.read_bytes())
    path.unlink()
    match damage:
        case "truncated":
            path.write_bytes(data[: rng.randrange(1, len(data))])
        case "bit-flipped":
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            path.write_bytes(data)
        case "emptied":
            path.touch()
        case "a folder":
            path.mkdir()
        case "a pipe":
            os.mkfifo(path)
        case "a loop":
            path.symlink_to(path.name)
        case "another file":
            suffix = path.suffix
            others = [other for other in path.parent.iterdir() if other.is_file() and other.suffix == suffix]
            path.write_bytes(rng.choice(sorted(others)).read_bytes())


DAMAGES = ["truncated", "bit-flipped", "emptied", "another file", "a folder"]
DAMAGES += ["a pipe", "a loop"] if sys.platform != "win32" else []
LAYOUTS = {"packed": (".gz",), "unpacked": ("",), "both": ("", ".gz"), "packed alone": (".gz",)}


def assert_repaired(
    mirrors: Mirrors, folder: Path, pristine: Path, spoilt: dict[str, tuple[str, str]], expected: object
) -> None:
    """Damage files of a cache (name -> damage, layout), and see nnctl refuse them, repair them, use the good copies."""
    rng = random.Random(str(spoilt))
    cache = folder / "d" / "mnist"
    shutil.copytree(pristine, cache, copy_function=os.link)
    lost = []  # the copies of files that have no good copy left
    for packed, (damage, layout) in spoilt.items():
        bare = cache / packed.removesuffix(".gz")
        if layout == "packed alone":
            bare.unlink()
        copies = [bare.with_name(bare.name + suffix) for suffix in LAYOUTS[layout]]
        for path in copies:
            spoil(path, damage, rng)
        lost += copies if layout in {"both", "packed alone"} else []

    done = run("data", "verify", "--data-dir=d", cwd=folder, mirrors=mirrors)
    assert done.returncode == (3 if lost else 0), done.stderr
    for path in lost:
        assert re.search(rf"^damaged +{re.escape(str(path.relative_to(folder)))}: ", done.stdout, re.MULTILINE)

    done = run(*TRAIN, "--offline", cwd=folder, mirrors=mirrors)
    if lost:
        assert_spoken(done, 3)
        assert all(str(path.relative_to(folder)) in done.stderr for path in lost)
    else:
        assert learnt(done) == expected

    good = mirrors.url(GOOD)
    repair = rng.choice([fetching([]), TRAIN])
    done = run(*repair, cwd=folder, mirrors=mirrors, NNCTL_MIRRORS=good)
    folders = [path for path in lost if path.suffix == ".gz" and path.is_dir()]
    if folders:  # no folder is removed, as it may hold a user's files
        assert_spoken(done, 6)
        assert any(str(path.relative_to(folder)) in done.stderr for path in folders)
        for path in folders:
            path.rmdir()
        done = run(*repair, cwd=folder, mirrors=mirrors, NNCTL_MIRRORS=good)
    assert done.returncode == 0, done.stderr
    assert learnt(run(*TRAIN, "--offline", cwd=folder, mirrors=mirrors)) == expected
    done = run("data", "verify", "--data-dir=d", cwd=folder, mirrors=mirrors)
    assert (done.returncode, done.stdout.count("SHA-256 as published")) == (0, 4)
    assert temporary_files(cache) == []
    shutil.rmtree(folder)


def quick_spoilt() -> list[dict[str, tuple[str, str]]]:
    """All damages and layouts, dealt out to the files of two caches."""
    rng = random.Random(18)
    damages = rng.sample(DAMAGES, len(DAMAGES)) + ["bit-flipped"] * (8 - len(DAMAGES))
    layouts = rng.sample([*LAYOUTS] * 2, 8)
    dealt = list(zip(damages, layouts, strict=True))
    return [dict(zip(PACKED, dealt[:4], strict=True)), dict(zip(PACKED, dealt[4:], strict=True))]


def test_damaged_caches_are_named_and_repaired_and_never_used(
    mirrors: Mirrors, pristine: Path, expected: object, tmp_path: Path
) -> None:
    """Full: every damage to every file in every layout, alone. Quick: a deal of them to the files of two caches."""
    alone = [{name: what} for name in PACKED for what in itertools.product(DAMAGES, LAYOUTS)]
    numbers = itertools.count()

    def work(spoilt: dict[str, tuple[str, str]]) -> None:
        with case(spoilt):
            assert_repaired(mirrors, tmp_path / str(next(numbers)), pristine, spoilt, expected)

    at_once(work, [(spoilt,) for spoilt in (alone if FULL else quick_spoilt())], threads=4)
    assert wrong_files(pristine) == []


# 3. fetchers that are killed


def test_killed_fetch_leaves_a_cache_that_the_next_one_completes(
    mirrors: Mirrors, published: dict[str, bytes], tmp_path: Path
) -> None:
    """At random moments, and about when a file is done; into an empty cache, and by force into a full one."""
    cache, left, good = tmp_path / "d" / "mnist", 0, mirrors.url(GOOD)
    steps = list(itertools.accumulate(SIZES[f"{file.name}.gz"] for file in MNIST.files))
    for seed in range(amount(3, 40)):
        rng = random.Random(seed)
        about = [0.9 * steps[-1] * rng.random(), rng.choice(steps[:3])][seed % 2]
        with case(f"seed {seed}"):
            shutil.rmtree(tmp_path / "d", ignore_errors=True)
            cache.mkdir(parents=True)
            forced = rng.random() < 0.3
            if forced:
                for name, data in published.items():
                    (cache / name).write_bytes(data)
            steady = mirrors.url(Manner(paced(20e6), ""))
            with begin(*fetching([steady], *["--force"] * forced), cwd=tmp_path, mirrors=mirrors) as process:
                while mirrors.taken[label(steady)] < about and process.poll() is None:
                    time.sleep(0.0005)
                time.sleep(rng.uniform(0, 0.02))
                process.kill()
                process.communicate()
            assert process.returncode == -signal.SIGKILL if sys.platform != "win32" else process.returncode != 0
            assert wrong_files(cache) == []
            assert not forced or {path.name for path in cache.iterdir()} >= set(PACKED)
            left += len(temporary_files(cache))
            # without --force a complete cache is left alone, and not swept either
            done = run(*fetching([good], *["--force"] * forced), cwd=tmp_path, mirrors=mirrors)
            assert (done.returncode, done.stderr) == (0, "")
            assert_complete(cache)
    assert left  # else the sweep was not tried


# 4. many fetchers at once


def test_fetchers_at_once_share_one_download(mirrors: Mirrors, tmp_path: Path) -> None:
    for number in range(amount(1, 25)):
        folder = tmp_path / str(number)
        folder.mkdir()
        steady = mirrors.url(Manner(paced(20e6), ""))
        with case(f"round {number}"), ExitStack() as stack:
            fetchers = [stack.enter_context(begin(*fetching([steady]), cwd=folder, mirrors=mirrors)) for _ in range(8)]
            for fetcher in fetchers:
                stack.callback(fetcher.kill)
            ends = [(*fetcher.communicate(timeout=BOUND), fetcher.returncode) for fetcher in fetchers]
            assert [(code, err) for _, err, code in ends] == [(0, "")] * 8
            assert_complete(folder / "d" / "mnist")
            asked = {name: times for (mirror, name), times in mirrors.asked.items() if mirror == label(steady)}
            assert asked == dict.fromkeys(PACKED, 1)
        shutil.rmtree(folder)
