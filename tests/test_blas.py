"""BLAS: kernel and threads are chosen before NumPy is loaded, limited afterwards, and reported as they are in force."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl

from nnctl import blas


def in_a_fresh_process(statements: str, **variables: str) -> Any:
    """Run statements after `import nnctl.blas` and return what they print as JSON."""
    environment = {
        name: value for name, value in os.environ.items() if name not in (*blas.THREAD_VARIABLES, blas.KERNEL_VARIABLE)
    } | variables
    program = f"import json, os\nfrom nnctl import blas\n{statements}"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


SHOW = "print(json.dumps({name: os.environ.get(name) for name in blas.THREAD_VARIABLES}))"


def test_configure_with_a_number_sets_the_variable_of_every_blas_whatever_the_user_had_set():
    chosen = in_a_fresh_process(f"blas.configure(3)\n{SHOW}", OMP_NUM_THREADS="7")
    assert chosen == dict.fromkeys(blas.THREAD_VARIABLES, "3")


def test_configure_auto_leaves_the_users_own_variables_alone():
    chosen = in_a_fresh_process(f"blas.configure('auto')\n{SHOW}", OMP_NUM_THREADS="7")
    assert chosen == dict.fromkeys(blas.THREAD_VARIABLES) | {"OMP_NUM_THREADS": "7"}


def test_configure_auto_takes_one_thread_for_small_products_and_leaves_large_ones_to_blas():
    one = dict.fromkeys(blas.THREAD_VARIABLES, "1")
    assert in_a_fresh_process(f"blas.configure('auto')\n{SHOW}") == one
    assert in_a_fresh_process(f"blas.configure('auto', (blas.WORTH_SHARING - 1, 1, 1))\n{SHOW}") == one
    free = dict.fromkeys(blas.THREAD_VARIABLES)
    assert in_a_fresh_process(f"blas.configure('auto', (blas.WORTH_SHARING // 8, 4, 2))\n{SHOW}") == free


@pytest.mark.parametrize("threads", [1, 2])
def test_configure_puts_the_number_in_force_once_numpy_is_loaded(threads):
    in_force = in_a_fresh_process(
        f"blas.configure({threads})\nimport numpy\nprint(json.dumps([blas.threads_in_force(), blas.report()]))"
    )
    if in_force[1]["library"] == "unknown":
        pytest.skip("this BLAS cannot be asked")
    assert in_force[0] == in_force[1]["threads"] <= threads  # OpenBLAS takes no more than there are processors
    assert threads > 1 or in_force[0] == 1


def test_configure_refuses_a_number_after_numpy_is_loaded():
    complaint = in_a_fresh_process(
        "import numpy\ntry: blas.configure(1)\nexcept RuntimeError as error: print(json.dumps(str(error)))"
    )
    assert "already" in complaint


def test_configure_auto_changes_nothing_after_numpy_is_loaded():
    assert in_a_fresh_process(f"import numpy\nblas.configure('auto')\n{SHOW}") == dict.fromkeys(blas.THREAD_VARIABLES)


@pytest.mark.parametrize(
    ("call", "variables", "refused"),
    [
        ("configure(1)", {}, False),
        ("configure('auto')", {}, False),
        ("configure('auto')", {"OMP_NUM_THREADS": "1"}, False),
        ("configure(2)", {"OMP_NUM_THREADS": "1"}, True),
        ("configure('auto')", {"OMP_NUM_THREADS": "2"}, True),
        ("configure('auto', (2**25, 1, 1))", {}, True),
    ],
)
def test_configure_accepts_one_thread_alone_where_no_other_can_be_started(call, variables, refused):
    told = in_a_fresh_process(
        "import threading\n"
        'def start(_): raise RuntimeError("can\'t start new thread")\n'
        "threading.Thread.start = start\n"
        f"try: blas.{call}; print('false')\n"
        "except RuntimeError: print('true')",
        **variables,
    )
    assert told == refused


def test_blas_itself_loads_no_numpy():
    loaded = in_a_fresh_process("import sys; print(json.dumps([n for n in sys.modules if n.startswith('numpy')]))")
    assert loaded == []


def test_report_names_library_version_kernel_and_threads():
    np.zeros((2, 2)) @ np.zeros((2, 2))
    report = blas.report()
    assert report.keys() == {"library", "version", "kernel", "threads"}
    threads = blas.threads_in_force()
    assert threads is not None
    assert report["threads"] == threads >= 1
    json.dumps(report)


def test_report_calls_a_blas_that_cannot_be_asked_unknown(monkeypatch):
    monkeypatch.setattr(blas, "_libraries", list)
    assert blas.threads_in_force() is None
    assert blas.report() == {"library": "unknown", "version": None, "kernel": None, "threads": None}


AMD = """vendor_id\t: AuthenticAMD
model name\t: EPYC
flags\t\t: fpu avx2 avx512f avx512dq avx512cd avx512bw avx512vl
"""
CHOSEN = "blas.configure('auto')\nprint(json.dumps(os.environ.get(blas.KERNEL_VARIABLE)))"


def with_cpuinfo(path, text):
    """Statements that make the module read its processor from a file."""
    path.write_text(text)
    return f"from pathlib import Path\nblas.Path = lambda _: Path({str(path)!r})\n"


@pytest.mark.parametrize(
    ("cpuinfo", "kernel"),
    [
        (AMD, "SkylakeX"),
        (AMD.replace(" avx512vl", ""), None),
        (AMD.replace("AuthenticAMD", "GenuineIntel"), None),
        ("", None),
    ],
    ids=["AMD with AVX-512", "AMD with a part of it", "Intel", "no Linux"],
)
def test_configure_asks_for_avx512_kernels_on_amd_only(tmp_path, cpuinfo, kernel):
    assert in_a_fresh_process(with_cpuinfo(tmp_path / "cpuinfo", cpuinfo) + CHOSEN) == kernel


def test_configure_leaves_a_kernel_that_the_user_has_set(tmp_path):
    statements = with_cpuinfo(tmp_path / "cpuinfo", AMD) + CHOSEN
    assert in_a_fresh_process(statements, **{blas.KERNEL_VARIABLE: "Haswell"}) == "Haswell"


@pytest.fixture
def two_threads():
    """BLAS with two threads, as far as it can be asked."""
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        blas.several_threads.cache_clear()
        if blas.threads_in_force() != 2:
            pytest.skip("this BLAS, or this machine, knows no two threads")
        yield
    blas.several_threads.cache_clear()


@pytest.mark.usefixtures("two_threads")
def test_limit_bounds_the_threads_within_its_block_alone():
    assert blas.several_threads()
    with blas.limit(1):
        assert blas.threads_in_force() == 1
        assert not blas.several_threads()
    assert blas.threads_in_force() == 2
    assert blas.several_threads()


@pytest.mark.usefixtures("two_threads")
def test_limit_gives_the_threads_back_after_an_error():
    with pytest.raises(KeyError), blas.limit(1):
        raise KeyError
    assert blas.threads_in_force() == 2
    assert blas.several_threads()


@pytest.mark.usefixtures("two_threads")
def test_limit_of_none_changes_nothing():
    with blas.limit(None):
        assert blas.threads_in_force() == 2


def test_limit_never_takes_more_threads_than_processors(monkeypatch):
    monkeypatch.setattr(blas, "processors", lambda: 1)
    with blas.limit(64):
        assert blas.threads_in_force() in (1, None)


def test_limit_can_raise_the_number_too():
    if blas.threads_in_force() is None or blas.processors() < 2:
        pytest.skip("this BLAS, or this machine, knows no two threads")
    with blas.limit(1):
        assert not blas.several_threads()
        with blas.limit(2):
            assert blas.threads_in_force() == 2
            assert blas.several_threads()
        assert blas.threads_in_force() == 1
        assert not blas.several_threads()


def test_file_in_use_is_the_file_of_blas(monkeypatch):
    path = blas.file_in_use()
    assert path is None or Path(path).is_file()
    monkeypatch.setattr(blas, "_libraries", list)
    assert blas.file_in_use() is None


@pytest.mark.parametrize("variable", blas.THREAD_VARIABLES)
def test_set_by_user_looks_at_the_variable_of_every_blas(monkeypatch, variable):
    for name in blas.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert not blas.set_by_user()
    monkeypatch.setenv(variable, "2")
    assert blas.set_by_user()


# How many processors are idle


def ticks(*idle: int, total: int = 1000) -> str:
    """What /proc/stat says of processors that have been idle so long of all their time."""
    lines = [f"cpu{n} {total - each} 0 0 {each} 0 0 0 0 5 5" for n, each in enumerate(idle)]
    return "\n".join(["cpu  1 2 3 4 5 6 7 8 9 10", *lines, "intr 3", ""])


@pytest.mark.parametrize(
    ("idle", "free"),
    [
        ((10, 10), 2),  # of ten ticks each
        ((10, 0), 1),
        ((5, 5), 1),  # one busy process that moves from one to the other
        ((9, 8), 1),
        ((10, 8), 2),
        ((0, 0), 1),
        ((10, 10, 10, 3), 3),
    ],
)
def test_idle_processors_are_those_that_have_nothing_to_do_while_they_are_watched(monkeypatch, idle, free):
    texts = [ticks(*[500] * len(idle)), ticks(*[500 + each for each in idle], total=1010)]
    monkeypatch.setattr(Path, "read_text", lambda *_: texts.pop(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(len(idle))), raising=False)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert blas.idle_processors() == free


def test_idle_processors_are_those_that_the_process_may_run_on(monkeypatch):
    texts = [ticks(500, 500, 500, 500), ticks(510, 510, 510, 510, total=1010)]
    monkeypatch.setattr(Path, "read_text", lambda *_: texts.pop(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3}, raising=False)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert blas.idle_processors() == 2


@pytest.mark.parametrize(("load", "free"), [(0.1, 4), (1.0, 3), (3.9, 1), (40.0, 1), (None, 4)])
def test_idle_processors_are_found_by_the_load_where_they_cannot_be_watched(monkeypatch, load, free):
    monkeypatch.setattr(blas, "_processor_times", list)
    monkeypatch.setattr(blas, "processors", lambda: 4)
    if load is None:
        monkeypatch.delattr(os, "getloadavg", raising=False)
    else:
        monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    assert blas.idle_processors() == free
