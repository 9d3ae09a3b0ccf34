"""The layers of nnctl: which package may import which, who may import a library, and what no module may do.

Everything is read from the source with `ast`, so that an import counts wherever it stands: at the top of a module,
inside a function, or under TYPE_CHECKING. A new package fails until it is put into a layer.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import nnctl
from nnctl.cli.main import COMMANDS
from tests.support.pictures import encoded

FOLDER = Path(nnctl.__file__).parent

# From layer 0 up: a module imports only from layers below that of its package. Packages of one layer never import each
# other. A module beside the packages, such as build.py, counts as one.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "blas"),
    ("storage", "environment"),
    ("picture", "nn", "config"),
    ("data", "rundir"),
    ("train",),
    ("build", "checkpoint", "judge", "reading"),
    ("model", "logs"),
    ("run",),
    ("explain", "report", "export", "bench"),
    ("recipes", "committee", "sweep"),
    ("cli",),
    ("__main__",),
)

# Each library is imported by these modules and by no other. "cli" stands for all of its modules.
IMPORTED_BY: dict[str, set[str]] = {
    "PIL": {"picture.decode"},
    "click": {"cli"},
    "filelock": {"storage.durable"},
    "pydantic": {"config.models", "config.errors"},
    "requests": {"data.mirror"},
    "threadpoolctl": {"blas"},
    "tomllib": {"config.files"},
    "tqdm": {"cli"},
    "urllib3": {"data.mirror"},
    "yaml": {"config.files"},
    "zipfile": {"storage.npz"},
}
HEAVY = ("PIL", "filelock", "numpy", "pydantic", "requests", "threadpoolctl", "tqdm", "yaml")


def module_name(path: Path) -> str:
    """`nnctl/nn/layers.py` -> `nn.layers`; a package's `__init__.py` has the package's name, nnctl's an empty one."""
    parts = path.relative_to(FOLDER).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path.read_text("utf-8") for path in sorted(FOLDER.rglob("*.py"))}
TREES = {module: ast.parse(source) for module, source in SOURCES.items()}
PACKAGES = {module_name(path) for path in FOLDER.rglob("__init__.py")}


def imports(module: str, tree: ast.AST) -> Iterator[str]:
    """Every module that is imported, by its full name; `from nnctl import build` imports `nnctl.build`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                here = ["nnctl", *module.split(".")] if module else ["nnctl"]
                up = node.level - 1 if module in PACKAGES else node.level
                origin = ".".join([*here[: len(here) - up], *filter(None, [node.module])])
            for alias in node.names:
                submodule = f"{origin}.{alias.name}"
                yield submodule if submodule.removeprefix("nnctl.") in SOURCES else origin


def neighbours(module: str) -> set[str]:
    """The modules of nnctl that a module imports, without the `nnctl.`; nnctl itself is only its version number."""
    names = imports(module, TREES[module])
    return {name.removeprefix("nnctl.") for name in names if name.startswith("nnctl.")}


def libraries(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imports(module, TREES[module])} - {"nnctl"}


def package(module: str) -> str:
    """`nn.layers` -> `nn`; a module beside the packages is its own: `build` -> `build`."""
    return module.partition(".")[0]


def layer(module: str) -> int:
    return next(number for number, packages in enumerate(LAYERS) if package(module) in packages)


def below_cli() -> dict[str, ast.Module]:
    return {module: tree for module, tree in TREES.items() if package(module) not in ("cli", "__main__")}


def dotted(node: ast.AST) -> str:
    """`np.random.rand` as it is written; an empty name for anything but names and their attributes."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


# Who imports whom


def test_imports_are_seen_at_any_depth_and_in_any_spelling() -> None:
    source = """
if TYPE_CHECKING:
    from nnctl.config import Config
def run():
    import nnctl.train, yaml.nodes
    class Inner:
        from nnctl import build, __version__
        from . import errors
        from .nn import layers, Array
"""
    assert sorted(imports("rundir", ast.parse(source))) == [
        "nnctl",
        "nnctl.build",
        "nnctl.config",
        "nnctl.errors",
        "nnctl.nn",
        "nnctl.nn.layers",
        "nnctl.train",
        "yaml.nodes",
    ]


def test_layers_hold_every_module() -> None:
    listed = {name for packages in LAYERS for name in packages}
    assert [module for module in SOURCES if module and package(module) not in listed] == []


def test_modules_import_only_from_layers_below() -> None:
    wrong = [
        f"{module} imports {other}"
        for module in filter(None, SOURCES)
        for other in sorted(neighbours(module))
        if package(other) != package(module) and layer(other) >= layer(module)
    ]
    assert wrong == []


def test_nnctl_itself_imports_nothing() -> None:
    assert set(imports("", TREES[""])) == set()


def test_config_and_nn_meet_only_in_build_model_and_run() -> None:
    both = {package(m) for m in filter(None, SOURCES) if {"config", "nn"} <= {package(n) for n in neighbours(m)}}
    assert both - {"build", "model", "run"} == set()


def test_picture_imports_nothing_but_errors() -> None:
    assert {package(n) for m in SOURCES if package(m) == "picture" for n in neighbours(m)} == {"picture", "errors"}


def test_libraries_are_imported_only_by_the_modules_listed() -> None:
    wrong = [
        f"{module} imports {library}"
        for module in SOURCES
        for library in sorted(libraries(module) & IMPORTED_BY.keys())
        if not {module, package(module)} & IMPORTED_BY[library]
    ]
    assert wrong == []


def test_libraries_are_all_listed() -> None:
    known = sys.stdlib_module_names | IMPORTED_BY.keys() | {"numpy"}
    assert {module: libraries(module) - known for module in SOURCES if libraries(module) - known} == {}


def test_nn_imports_numpy_and_nothing_of_the_outside_world() -> None:
    world = {"io", "logging", "os", "pathlib", "random", "shutil", "sys", "tempfile", "time"} | IMPORTED_BY.keys()
    assert {m: libraries(m) & world for m in SOURCES if package(m) == "nn" and libraries(m) & world} == {}


# What no module may do


def test_cli_alone_prints_and_exits() -> None:
    reserved = {"print", "input", "exit", "quit", "breakpoint", "SystemExit", "sys.exit", "os._exit", "os.abort"}
    reserved |= {"sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"}
    wrong = [
        f"{module}:{node.lineno} uses {dotted(node)}"
        for module, tree in below_cli().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute) and dotted(node) in reserved
    ]
    wrong += [
        f"{module}:{node.lineno} imports from sys"
        for module, tree in below_cli().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "sys"
    ]
    assert wrong == []


def test_modules_never_run_what_was_read() -> None:
    runners = {"pickle", "marshal", "shelve", "dill", "joblib", "runpy", "code"}
    wrong = [f"{m} imports {library}" for m in SOURCES for library in sorted(libraries(m) & runners)]
    calls = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "importlib.import_module"}
    calls |= {"yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.unsafe_load_all"}
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = dotted(node.func)
            named_in_code = module == "cli.main" and name == "importlib.import_module"  # from its table of commands
            if (name in calls and not named_in_code) or name.endswith((".extractall", ".extract")):
                wrong.append(f"{module}:{node.lineno} calls {name}")
            for keyword in node.keywords:
                never = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg in ("shell", "allow_pickle") and not never:
                    wrong.append(f"{module}:{node.lineno} passes {keyword.arg}")
    assert wrong == []


def test_randomness_always_comes_from_a_seeded_generator() -> None:
    """NumPy's global generator is hidden state, and `default_rng()` without a seed cannot be repeated."""
    wrong = [f"{module} imports random" for module in SOURCES if "random" in libraries(module)]
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and dotted(node.value) in ("np.random", "numpy.random"):
                if node.attr != "default_rng" and node.attr[0].islower():
                    wrong.append(f"{module}:{node.lineno} uses {dotted(node)}")
            elif isinstance(node, ast.Call) and dotted(node.func).endswith("default_rng") and not node.args:
                wrong.append(f"{module}:{node.lineno} draws without a seed")
    assert wrong == []


# How a module reads


@pytest.mark.parametrize("module", SOURCES)
def test_module_is_short_and_says_in_one_sentence_what_it_is_for(module: str) -> None:
    assert len(SOURCES[module].splitlines()) <= 300
    first_line = (ast.get_docstring(TREES[module]) or "").partition("\n")[0]
    assert first_line.endswith("."), first_line


@pytest.mark.parametrize("command", COMMANDS)
def test_command_module_parses_calls_and_prints_in_at_most_120_lines(command: str) -> None:
    assert len(SOURCES[f"cli.{command}"].splitlines()) <= 120


# What starting costs


def heavy_libraries(*arguments: str) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """Run Python with these arguments and return which heavy libraries it imported."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, encoding="utf-8", timeout=60, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.rpartition("|")[2].strip() for line in lines}
    return sorted(imported & set(HEAVY)), done


def test_heavy_libraries_are_noticed() -> None:
    assert heavy_libraries("-c", "import yaml, tqdm")[0] == ["tqdm", "yaml"]


@pytest.mark.parametrize("module", ["nnctl", "nnctl.errors", "nnctl.blas", "nnctl.cli"])
def test_import_loads_no_heavy_library(module: str) -> None:
    loaded, done = heavy_libraries("-c", f"import {module}")
    assert done.returncode == 0, done.stderr
    assert loaded == []


@pytest.mark.parametrize(
    "command", [[], ["train"], ["eval"], ["predict"], ["data"], ["config"], ["checkpoint"], ["bench"]]
)
def test_help_loads_no_heavy_library(command: list[str]) -> None:
    loaded, done = heavy_libraries("-m", "nnctl", *command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    assert loaded == []


def test_prediction_loads_nothing_that_only_training_or_other_pictures_need() -> None:
    lines = [
        "import sys",
        "from nnctl.model import Model",
        "from nnctl.picture import decode",
        "decode.read_grey(sys.stdin.buffer.read(), 'picture')",
        "print(*sorted(sys.modules))",
    ]
    picture = encoded(Image.new("L", (50, 50), 255))
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], input=picture, capture_output=True, check=True)
    loaded = set(done.stdout.decode().split())
    assert "PIL.PngImagePlugin" in loaded
    assert loaded.isdisjoint({"PIL.GifImagePlugin", "PIL.JpegImagePlugin", "nnctl.train.trainer", "nnctl.data.augment"})
