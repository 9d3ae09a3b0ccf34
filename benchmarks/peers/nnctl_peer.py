"""nnctl, through its own training loop, with nothing saved and no images deformed."""

from __future__ import annotations

from benchmarks.peers.task import MOMENTUM, Task, main
from nnctl import __version__, blas

OPTIMIZERS = {
    "sgd": ("sgd", "optimizer.momentum=0"),
    "momentum": ("sgd", f"optimizer.momentum={MOMENTUM}"),
    "adam": ("adam", "optimizer.beta1=0.9"),
}


def settings(task: Task) -> list[str]:
    """The task as nnctl's own settings, for `--set`."""
    name, memory = OPTIMIZERS[task.optimizer]
    return [
        f"seed={task.seed}",
        "data.dataset=mnist",
        "data.augment=none",
        "data.validation=0",
        f"data.train_limit={task.images or 'null'}",
        f"network.hidden=[{task.hidden}]",
        f"optimizer={name}",
        memory,
        f"optimizer.learning_rate={task.learning_rate}",
        f"schedule={task.schedule}",
        f"train.batch_size={task.batch}",
        f"train.epochs={task.epochs}",
    ]


class Nnctl:
    """A training of nnctl, an epoch at a time."""

    def __init__(self, task: Task) -> None:
        blas.configure(task.threads)
        blas.check_kernel()
        from nnctl import build, config, train
        from nnctl.data import datasets
        from nnctl.data.examples import Examples, split

        endless = ["train.epochs=100000"] if task.schedule == "constant" else []
        resolved = config.load(None, [*settings(task), *endless], environ={}).config
        data = datasets.load("mnist", task.data_dir, offline=True)
        examples, nothing = split(Examples(data.train_images, data.train_labels), 0, task.images)
        blas_report = blas.report()
        self.version = f"nnctl {__version__} ({blas_report['kernel'] or blas_report['library']})"
        self.plan = build.plan(resolved, len(examples))
        self.test_set = Examples(data.test_images, data.test_labels)
        self.epochs = train.fit(train.Training(self.plan), examples, nothing, save=lambda *_: None)
        self.evaluate = train.evaluate

    def epoch(self) -> None:
        next(self.epochs)

    def accuracy(self) -> float:
        return float(self.evaluate(self.plan.network, self.plan.criterion, self.test_set).accuracy)


if __name__ == "__main__":
    main(Nnctl)
