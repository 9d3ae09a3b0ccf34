"""What the documents say holds: the tree is the one on disk, links lead somewhere, examples of code work."""

import __future__

import importlib
import re
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from nnctl.data.examples import Examples
from nnctl.nn import Linear, Network, Workspace
from nnctl.train import Trainer
from tests.support.files import ROOT
from tests.support.recipes import digits

DOCUMENTS = {path.name: path.read_text("utf-8") for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]}
ARCHITECTURE = DOCUMENTS["architecture.md"]
EXAMPLES = re.findall(r"^```python\n# (\S+)\n(.*?)^```", ARCHITECTURE, re.MULTILINE | re.DOTALL)


def listed() -> set[str]:
    """The modules in the tree of architecture.md, such as nn/layers.py."""
    _, tree, _ = re.split(r"^```\n(?=nnctl/)|^```$", ARCHITECTURE, maxsplit=2, flags=re.MULTILINE)
    modules, folder = set(), ""
    for line in tree.splitlines()[1:]:
        indent, name = re.match(r"( *)(\S*)", line).groups()  # type: ignore[union-attr]
        if len(indent) == 2:
            folder = name if name.endswith("/") else ""
        modules |= {folder + name for name in re.findall(r"\w+\.py\b", line)}
    return modules


def anchors(text: str) -> set[str]:
    """What a link may name in a document: its headings, in GitHub's spelling."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def example(name: str) -> Any:
    """What an example defines, as its module would define it."""
    for path, code in EXAMPLES:
        if re.search(rf"^(class|def) {name}\b", code, re.MULTILINE):
            module = path.removesuffix(".py").replace("/", ".")
            known = dict(vars(importlib.import_module(module))) if (ROOT / path).exists() else {"__name__": module}
            exec(compile(code, path, "exec", __future__.annotations.compiler_flag), known)
            return known[name]
    raise AssertionError(f"no example defines {name}")


def test_architecture_lists_every_module_and_no_other() -> None:
    modules = {path.relative_to(ROOT / "nnctl").as_posix() for path in (ROOT / "nnctl").rglob("*.py")}
    packages = {module for module in modules if module.endswith("/__init__.py")}
    assert modules - packages == listed() - packages


def test_architecture_gives_every_package_one_layer() -> None:
    table = re.search(r"^\| layer \|.*?\n\n", ARCHITECTURE, re.MULTILINE | re.DOTALL)
    assert table is not None
    named = re.findall(r"`(\w+)`", table[0])
    top = {path.stem for path in (ROOT / "nnctl").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(named) == sorted(top - {"__init__"})


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    folder = ROOT if (ROOT / name).exists() else ROOT / "docs"
    for target in re.findall(r"\]\(([^)\s]+)\)", DOCUMENTS[name]):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        assert (folder / path).exists(), target
        if anchor:
            assert anchor in anchors((folder / path).read_text("utf-8") if path else DOCUMENTS[name]), target


def test_examples_are_all_complete() -> None:
    assert len(EXAMPLES) > 8
    for path, code in EXAMPLES:
        compile(code, path, "exec")


def test_examples_of_mathematics_have_the_gradients_of_their_loss() -> None:
    layers = [Linear(784, 8), example("BatchNorm")(), example("Swish")(), Linear(8, 10)]
    network, criterion = Network(layers, seed=0, dtype=np.float64), example("Huber")()
    work, (x, labels) = Workspace(network, 12), digits(12, np.float64)

    def loss(params: np.ndarray) -> float:
        network.params[:] = params
        value, probs = criterion.forward(network.forward(x, work, np.random.default_rng(0)), labels, out=work.probs)
        network.backward(criterion.backward(probs, labels, out=work.dlogits), work)
        return float(value)

    start = network.params.copy()
    loss(start)
    gradient = network.grads.copy()
    for seed in range(5):
        direction = np.random.default_rng(seed).normal(size=start.size)
        difference = (loss(start + 1e-6 * direction) - loss(start - 1e-6 * direction)) / 2e-6
        assert gradient @ direction == pytest.approx(difference, rel=1e-5)


def test_examples_learn_and_resume_to_the_same_bits() -> None:
    pixels, labels = digits(200)
    examples = Examples(np.rint(pixels * 255).astype(np.uint8), labels)
    settings = {key: value for key, value in example("RMSpropConfig")() if key not in ("name", "learning_rate")}
    shape = {key: value for key, value in example("PolynomialConfig")() if key not in ("name", "warmup_epochs")}

    def trainer() -> Trainer:
        layers = [Linear(784, 16), example("BatchNorm")(), example("Swish")(), Linear(16, 10)]
        network = Network(layers, seed=0, initializer=example("lecun"))
        optimizer, schedule = example("RMSprop")(network.params, **settings), example("Polynomial")(0.01, 28, **shape)
        return Trainer(network, optimizer, schedule, example("Huber")())

    whole, first, second = trainer(), trainer(), trainer()
    watcher = example("Losses")()
    for report in whole.fit(examples, epochs=7):
        watcher.on_epoch(report)
    assert watcher.losses[-1] < 0.2 * watcher.losses[0]
    assert whole.network.state.all()
    list(first.fit(examples, epochs=3))
    second.restore(first.state())
    list(second.fit(examples, epochs=7))
    for name, array in whole.state().arrays().items():
        np.testing.assert_array_equal(second.state().arrays()[name], array, name)


def test_example_of_a_command_is_a_command() -> None:
    done = CliRunner().invoke(example("classes"), ["--help"])
    assert done.exit_code == 0
    assert "nnctl classes runs/mine --json" in done.output
