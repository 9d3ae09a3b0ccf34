"""Turn any picture into (28, 28) pixels the way MNIST's digits look."""
