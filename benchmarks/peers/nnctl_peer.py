"""nnctl, through its own training loop, with nothing saved and no images augmented."""

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
        "data.mix=0",
        "data.validation=0",
        f"data.train_limit={task.images or 'null'}",
        f"network.hidden=[{task.hidden}]",
        f"optimizer={name}",
        memory,
        f"optimizer.learning_rate={task.learning_rate}",
        f"schedule={task.schedule}",
        f"train.batch_size={task.batch}",
        f"train.epochs={task.epochs}",
        "judge=false",
    ]


class Nnctl:
    """A training of nnctl, an epoch at a time."""

    def __init__(self, task: Task) -> None:
        blas.configure(task.threads)
        from nnctl import build, config, train
        from nnctl.cli.options import check_kernel
        from nnctl.data import load_dataset

        check_kernel()
        endless = ["train.epochs=100000"] if task.schedule == "constant" else []
        resolved = config.load(None, [*settings(task), *endless], environ={}).config
        data = load_dataset("mnist", task.data_dir, validation=0, limit=task.images, offline=True)
        blas_report = blas.report()
        self.version = f"nnctl {__version__} ({blas_report['kernel'] or blas_report['library']})"
        self.trainer = build.trainer(resolved, len(data.train))
        self.test_set = data.test
        self.epochs = self.trainer.fit(data.train, epochs=resolved.train.epochs)
        self.evaluate = train.evaluate

    def epoch(self) -> None:
        next(self.epochs)

    def accuracy(self) -> float:
        return float(self.evaluate(self.trainer.network, self.test_set, self.trainer.criterion).accuracy)


if __name__ == "__main__":
    main(Nnctl)
