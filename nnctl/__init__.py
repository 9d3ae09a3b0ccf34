"""nnctl trains neural networks on MNIST, from the command line or from Python."""

__version__ = "0.1.0"
