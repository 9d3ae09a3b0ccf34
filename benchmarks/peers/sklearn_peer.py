"""scikit-learn: one `partial_fit` of MLPClassifier is one epoch, and keeps the optimizer's state for the next."""

from __future__ import annotations

from benchmarks.peers.task import MOMENTUM, Task, load, main


class ScikitLearn:
    """A classifier of scikit-learn, without weight decay and without early stopping."""

    def __init__(self, task: Task) -> None:
        if task.schedule != "constant":
            raise SystemExit("its learning rate cannot change within an epoch")
        import numpy as np  # here, because BLAS reads its thread count when it is loaded
        import sklearn
        from sklearn.neural_network import MLPClassifier

        self.version = f"scikit-learn {sklearn.__version__}"
        self.classes = np.arange(10)
        sklearn.set_config(assume_finite=True)  # spares it a look at every pixel before each epoch
        self.images, self.labels, self.test_images, self.test_labels = load(task)
        self.network = MLPClassifier(
            (task.hidden,),
            activation="relu",
            solver="adam" if task.optimizer == "adam" else "sgd",
            alpha=0.0,
            batch_size=task.batch,
            learning_rate_init=task.learning_rate,
            momentum=MOMENTUM if task.optimizer == "momentum" else 0.0,
            nesterovs_momentum=False,
            early_stopping=False,
            n_iter_no_change=100_000,
            random_state=task.seed,
        )

    def epoch(self) -> None:
        self.network.partial_fit(self.images, self.labels, classes=self.classes)

    def accuracy(self) -> float:
        return float(self.network.score(self.test_images, self.test_labels))


if __name__ == "__main__":
    main(ScikitLearn)
