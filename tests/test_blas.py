"""BLAS: the thread count is chosen before NumPy is loaded, and what is in force is reported."""

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from nnctl import blas

KERNEL = "OPENBLAS_CORETYPE"


def in_a_fresh_process(statements: str, **variables: str) -> Any:
    """Run statements after `import nnctl.blas` and return what they print as JSON."""
    environment = {
        name: value for name, value in os.environ.items() if name not in (*blas.THREAD_VARIABLES, KERNEL)
    } | variables
    program = f"import json, os\nfrom nnctl import blas\n{statements}"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


SHOW = "print(json.dumps({name: os.environ.get(name) for name in blas.THREAD_VARIABLES}))"


def test_a_number_sets_the_variable_of_every_blas_whatever_the_user_had_set():
    chosen = in_a_fresh_process(f"blas.configure(3)\n{SHOW}", OMP_NUM_THREADS="7")
    assert chosen == dict.fromkeys(blas.THREAD_VARIABLES, "3")


def test_auto_leaves_the_users_own_variables_alone():
    chosen = in_a_fresh_process(f"blas.configure('auto')\n{SHOW}", OMP_NUM_THREADS="7")
    assert chosen == dict.fromkeys(blas.THREAD_VARIABLES) | {"OMP_NUM_THREADS": "7"}


def test_auto_takes_one_thread_for_small_products_and_leaves_large_ones_to_blas():
    one = dict.fromkeys(blas.THREAD_VARIABLES, "1")
    assert in_a_fresh_process(f"blas.configure('auto')\n{SHOW}") == one
    assert in_a_fresh_process(f"blas.configure('auto', blas.WORTH_SHARING - 1)\n{SHOW}") == one
    free = dict.fromkeys(blas.THREAD_VARIABLES)
    assert in_a_fresh_process(f"blas.configure('auto', blas.WORTH_SHARING)\n{SHOW}") == free


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_is_in_force_once_numpy_is_loaded(threads):
    in_force = in_a_fresh_process(
        f"blas.configure({threads})\nimport numpy\nprint(json.dumps([blas.threads_in_force(), blas.report()]))"
    )
    if in_force[1]["library"] == "unknown":
        pytest.skip("this BLAS cannot be asked")
    assert in_force[0] == in_force[1]["threads"] <= threads  # OpenBLAS takes no more than there are processors
    assert threads > 1 or in_force[0] == 1


def test_after_numpy_is_loaded_a_number_comes_too_late():
    complaint = in_a_fresh_process(
        "import numpy\ntry: blas.configure(1)\nexcept RuntimeError as error: print(json.dumps(str(error)))"
    )
    assert "already" in complaint


def test_after_numpy_is_loaded_auto_changes_nothing():
    assert in_a_fresh_process(f"import numpy\nblas.configure('auto')\n{SHOW}") == dict.fromkeys(blas.THREAD_VARIABLES)


@pytest.mark.parametrize(
    ("call", "variables", "refused"),
    [
        ("configure(1)", {}, False),
        ("configure('auto')", {}, False),
        ("configure('auto')", {"OMP_NUM_THREADS": "1"}, False),
        ("configure(2)", {"OMP_NUM_THREADS": "1"}, True),
        ("configure('auto')", {"OMP_NUM_THREADS": "2"}, True),
        ("configure('auto', blas.WORTH_SHARING)", {}, True),
    ],
)
def test_where_no_thread_can_be_started_only_one_is_accepted(call, variables, refused):
    told = in_a_fresh_process(
        "import threading\n"
        'def start(_): raise RuntimeError("can\'t start new thread")\n'
        "threading.Thread.start = start\n"
        f"try: blas.{call}; print('false')\n"
        "except RuntimeError: print('true')",
        **variables,
    )
    assert told == refused


def test_the_module_itself_loads_no_numpy():
    loaded = in_a_fresh_process("import sys; print(json.dumps([n for n in sys.modules if n.startswith('numpy')]))")
    assert loaded == []


def test_the_report_names_library_version_kernel_and_threads():
    np.zeros((2, 2)) @ np.zeros((2, 2))
    report = blas.report()
    assert report.keys() == {"library", "version", "kernel", "threads"}
    threads = blas.threads_in_force()
    assert threads is not None
    assert report["threads"] == threads >= 1
    json.dumps(report)


def test_a_blas_that_cannot_be_asked_is_reported_as_unknown(monkeypatch):
    monkeypatch.setattr(blas, "_libraries", list)
    assert blas.threads_in_force() is None
    assert blas.report() == {"library": "unknown", "version": None, "kernel": None, "threads": None}


def test_the_processor_has_a_name():
    assert blas.processor().strip()


AMD = """vendor_id\t: AuthenticAMD
model name\t: EPYC
flags\t\t: fpu avx2 avx512f avx512dq avx512cd avx512bw avx512vl
"""
CHOSEN = f"blas.configure('auto')\nprint(json.dumps(os.environ.get('{KERNEL}')))"


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
def test_avx512_kernels_are_asked_for_on_amd_only(tmp_path, cpuinfo, kernel):
    assert in_a_fresh_process(with_cpuinfo(tmp_path / "cpuinfo", cpuinfo) + CHOSEN) == kernel


def test_a_kernel_of_the_users_own_stays(tmp_path):
    statements = with_cpuinfo(tmp_path / "cpuinfo", AMD) + CHOSEN
    assert in_a_fresh_process(statements, **{KERNEL: "Haswell"}) == "Haswell"


def test_right_products_pass_the_check_and_nothing_starts_again(monkeypatch):
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("started again"))
    blas.check_kernel()


def test_wrong_products_of_a_forced_kernel_start_the_program_again_without_it():
    statements = """
import numpy as np
if os.environ["OPENBLAS_CORETYPE"] == "SkylakeX":
    np.allclose = lambda *_, **__: False
blas.check_kernel()
print(json.dumps(os.environ["OPENBLAS_CORETYPE"]))
"""
    assert in_a_fresh_process(statements, **{KERNEL: "SkylakeX"}) == "Haswell"


def test_wrong_products_without_a_forced_kernel_are_an_error(monkeypatch):
    monkeypatch.delenv(KERNEL, raising=False)
    monkeypatch.setattr("numpy.allclose", lambda *_, **__: False)
    with pytest.raises(RuntimeError, match="products"):
        blas.check_kernel()


@pytest.fixture
def asked_anew():
    """Let axpby look for its functions again."""
    blas._axpby_of.cache_clear()
    yield
    blas._axpby_of.cache_clear()


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("b", [0.75, 1])
@pytest.mark.parametrize("threads", [1, 2, None], ids=["one thread", "two threads", "NumPy alone"])
@pytest.mark.parametrize("size", [1003, blas._WORTH_MOVING + 1])
def test_axpby_is_what_its_name_says(monkeypatch, size, kind, b, threads):
    if threads is None:
        monkeypatch.setattr(blas, "_libraries", list)
    else:
        monkeypatch.setattr(blas, "threads_in_force", lambda: threads)
    x, y = np.random.default_rng(0).standard_normal((2, size)).astype(kind)
    before = y.copy()
    blas.axpby(-0.25, x, b, y)
    np.testing.assert_allclose(y, -0.25 * x + b * before, rtol=1e-5, atol=1e-6)
    assert y.dtype == kind


def test_axpby_lets_what_is_not_finite_through():
    y = np.ones(3, np.float32)
    blas.axpby(1.0, np.array([np.nan, np.inf, -np.inf], np.float32), 1.0, y)
    np.testing.assert_array_equal(y, [np.nan, np.inf, -np.inf])
