"""The mathematics of a neural network, in NumPy alone: no files, no config, no printing, no global randomness.

The letters and names that every module here uses:

    B  batch: images that go through the network together       I  inputs of a layer
    P  all parameters of the network in one flat vector         O  outputs of a layer
                                                                C  classes: ten digits

    x       (B, I)  a layer's input; for the first layer 784 pixels between 0 (black) and 1 (white)
    y       (B, O)  a layer's output, its activations: the next layer's x
    weight  (I, O)  how strongly each input excites each output; a column is the pattern that one neuron looks for
    bias    (O,)    how easily a neuron is active by itself
    logits  (B, C)  the last layer's output: one score for each class
    probs   (B, C)  the scores as activations between 0 and 1, with softmax as probabilities; the largest is predicted
    labels  (B,)    the targets, integers from 0 to C - 1
    params  (P,)    every weight and bias; grads (P,) their gradients
    dname           the gradient of the loss with respect to name: dx, dy, dweight, dlogits, ...
"""

from nnctl.nn.activations import Identity, ReLU, Sigmoid, Softmax, Tanh
from nnctl.nn.initializers import Initializer, he, normal, xavier
from nnctl.nn.layers import Dropout, Flatten, Layer, Linear
from nnctl.nn.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from nnctl.nn.metrics import Evaluation
from nnctl.nn.network import Network
from nnctl.nn.optimizers import SGD, Adam, AdamW, Optimizer
from nnctl.nn.schedules import Constant, Cosine, OneCycle, Schedule, StepDecay, WarmUp
from nnctl.nn.workspace import Workspace

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "Dropout",
    "Evaluation",
    "Flatten",
    "Identity",
    "Initializer",
    "Layer",
    "Linear",
    "Loss",
    "Network",
    "OneCycle",
    "Optimizer",
    "ReLU",
    "Schedule",
    "Sigmoid",
    "SigmoidCrossEntropy",
    "Softmax",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "StepDecay",
    "Tanh",
    "WarmUp",
    "Workspace",
    "he",
    "normal",
    "xavier",
]
