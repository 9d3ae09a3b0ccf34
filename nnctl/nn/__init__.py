"""The mathematics of a neural network, in NumPy alone: no files, no config, no printing, no global randomness.

The letters and names that every module here uses:

    B  batch: images that go through the network together       I  inputs of a layer
    P  all parameters of the network in one flat vector         O  outputs of a layer
                                                                C  classes: ten digits

    x       (B, I)  a layer's input; for the first layer 784 pixels between 0 (black) and 1 (white)
    y       (B, O)  a layer's output, the next layer's x
    weight  (I, O)  how strongly each input lights up each output; a column is the pattern that one neuron looks for
    bias    (O,)    how easily a neuron lights up by itself
    logits  (B, C)  the last layer's output: one score for each class
    probs   (B, C)  the scores as brightness between 0 and 1; the brightest is the answer
    labels  (B,)    the right answers, integers from 0 to C - 1
    params  (P,)    every weight and bias; grads (P,) their gradients
    dname           the gradient of the loss with respect to name: dx, dy, dweight, dlogits, ...
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating[Any]]
"""Real numbers in single precision (training) or double precision (checking gradients)."""

Labels: TypeAlias = NDArray[np.integer[Any]]
"""Class numbers, shape (B,)."""
