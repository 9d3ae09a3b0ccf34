"""PyTorch: eager with its default optimizer, eager with a fused one, or torch.compile with a fused one.

The images are one tensor in memory, from which each batch is gathered by index: no DataLoader, no copy of the epoch.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from benchmarks.peers.task import MOMENTUM, Task, load, main, rates

VARIANTS = ("eager", "fused", "compile")


class PyTorch:
    """A network of PyTorch, in one of VARIANTS."""

    version = f"PyTorch {torch.__version__}"

    def __init__(self, task: Task) -> None:
        if task.variant not in VARIANTS:
            raise SystemExit(f"--variant must be one of {', '.join(VARIANTS)}")
        torch.set_num_threads(task.threads)
        torch.manual_seed(task.seed)
        self.images, self.labels, self.test_images, self.test_labels = map(torch.from_numpy, load(task))
        self.batch = task.batch
        self.rates, self.steps = rates(task), 0
        hidden, output = nn.Linear(784, task.hidden), nn.Linear(task.hidden, 10)
        for layer in (hidden, output):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        self.network = nn.Sequential(hidden, nn.ReLU(), output)
        fused = task.variant != "eager" or None  # None is the library's default
        params = self.network.parameters()
        if task.optimizer == "adam":
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(params, lr=task.learning_rate, fused=fused)
        else:
            momentum = MOMENTUM if task.optimizer == "momentum" else 0
            self.optimizer = torch.optim.SGD(params, lr=task.learning_rate, momentum=momentum, fused=fused)
        # a short last batch is a second shape, compiled for itself rather than both as one with a size left open
        self.loss = torch.compile(self._loss, dynamic=False) if task.variant == "compile" else self._loss

    def _loss(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(self.network(x), labels)

    def epoch(self) -> None:
        for chosen in torch.randperm(len(self.images)).split(self.batch):
            x, labels = self.images.index_select(0, chosen), self.labels.index_select(0, chosen)
            self.optimizer.zero_grad(set_to_none=True)
            self.loss(x, labels).backward()
            if self.steps < len(self.rates):
                self.optimizer.param_groups[0]["lr"] = self.rates[self.steps]
            self.optimizer.step()
            self.steps += 1

    @torch.no_grad()
    def accuracy(self) -> float:
        right = self.network(self.test_images).argmax(1) == self.test_labels
        return float(right.float().mean())


if __name__ == "__main__":
    main(PyTorch)
