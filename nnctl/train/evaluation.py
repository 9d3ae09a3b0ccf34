"""Measure what a network has learned."""

from __future__ import annotations

import numpy as np

from nnctl.data.examples import Examples, batches, check_examples
from nnctl.errors import ArgumentError
from nnctl.nn.layers import Layer
from nnctl.nn.losses import Loss, SoftmaxCrossEntropy
from nnctl.nn.metrics import Evaluation
from nnctl.nn.network import Network
from nnctl.nn.workspace import Workspace

EVALUATION_BATCH = 1000


@np.errstate(all="ignore")  # what overflows shows in a loss or in probs that are not finite
def evaluate(network: Network, examples: Examples, criterion: Loss | None = None) -> Evaluation:
    """Let the network predict every example; nothing is learned and no neuron is dropped.

    Args:
        network: what predicts.
        examples: images with their labels.
        criterion: the loss, whose output turns the logits into predictions; the cross-entropy of a softmax by default.

    Raises:
        ArgumentError: there are no examples, or not of this network's pixels and classes.
    """
    if not isinstance(network, Network):
        raise ArgumentError(f"evaluate takes a Network, not a {type(network).__name__}")
    check_examples(examples, network.pixels, network.classes)
    criterion = SoftmaxCrossEntropy() if criterion is None else criterion
    check_loss(criterion)
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


def check_loss(criterion: object) -> None:
    """Raise ArgumentError unless this is a loss."""
    if isinstance(criterion, type) or not isinstance(getattr(criterion, "output", None), Layer):
        what = f"a loss compares outputs with labels; {criterion!r:.60} does not"
        raise ArgumentError(what, "write SoftmaxCrossEntropy()")
