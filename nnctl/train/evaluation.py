"""Measure what a network has learned."""

from __future__ import annotations

import numpy as np

from nnctl.data.examples import Examples, batches, check_examples
from nnctl.nn.losses import Loss, SoftmaxCrossEntropy
from nnctl.nn.metrics import Evaluation
from nnctl.nn.network import Network, Workspace

EVALUATION_BATCH = 1000


@np.errstate(all="ignore")  # what overflows shows in a loss or in probs that are not finite
def evaluate(network: Network, examples: Examples, criterion: Loss | None = None) -> Evaluation:
    """Let the network predict every example; nothing is learned and no neuron is dropped.

    Raises:
        ArgumentError: there are no examples, or not of this network's classes.
    """
    check_examples(examples, network.pixels, network.classes)
    criterion = criterion or SoftmaxCrossEntropy()
    work = Workspace(network, min(len(examples), EVALUATION_BATCH))
    probs = np.empty((len(examples), network.classes), network.dtype)
    total = 0.0
    done = 0
    for x, labels in batches(examples, np.arange(len(examples)), EVALUATION_BATCH, network.dtype):
        n = len(x)
        loss, _ = criterion.forward(network.forward(x, work), labels, out=probs[done : done + n])
        total += loss * n
        done += n
    return Evaluation(total / done, probs, examples.labels)
