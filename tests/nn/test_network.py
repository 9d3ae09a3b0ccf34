"""The network as a whole: a step worked out by hand, images in, gradients out, and whose memory is whose."""

import numpy as np
import pytest

from nnctl.nn.arrays import Array
from nnctl.nn.initializers import he
from nnctl.nn.layers import Dropout, Flatten, Layer, Linear, ReLU, Sigmoid, Tanh
from nnctl.nn.losses import SoftmaxCrossEntropy
from nnctl.nn.network import Network, Workspace
from nnctl.nn.optimizers import SGD
from tests.support.recipes import LOSSES, backpropagate, digits, network_of

# One step by hand


def test_one_step_of_a_small_network_is_what_paper_and_pencil_give() -> None:
    """2 inputs, 3 neurons with ReLU, 2 classes; one picture x = (1, 2) whose right answer is class 1.

    sums of the hidden layer   (1, 2) @ [[1, 1, 1], [0, 1, -1]] + (0, -1, 0) = (1, 2, -1)
    lit                        (1, 2, 0): the third neuron is dark
    logits                     (1, 2, 0) @ [[2, 0], [0, 1], [1, -1]] + (log 3, 0) = (2 + log 3, 2)
    probs                      3 : 1 = (3/4, 1/4), so the loss is -log 1/4 = log 4
    dlogits                    probs - (0, 1) = (3/4, -3/4)
    dweight2                   lit times dlogits = [[3/4, -3/4], [3/2, -3/2], [0, 0]], dbias2 = dlogits
    dlit                       dlogits @ weight2.T = (3/2, -3/4, 3/2), where lit: (3/2, -3/4, 0) = dbias1
    dweight1                   x times that = [[3/2, -3/4, 0], [3, -3/2, 0]]
    one step at rate 4/3       everything minus 4/3 of its gradient
    """
    network = Network({"hidden": Linear(2, 3), "relu": ReLU(), "output": Linear(3, 2)}, (2,), np.float64)
    values = network.named(network.params)
    values["hidden.weight"][:] = [[1, 1, 1], [0, 1, -1]]
    values["hidden.bias"][:] = [0, -1, 0]
    values["output.weight"][:] = [[2, 0], [0, 1], [1, -1]]
    values["output.bias"][:] = [np.log(3), 0]
    work, x, label = Workspace(network, 1), np.array([[1.0, 2.0]]), np.array([1])

    logits = network.forward(x, work)
    np.testing.assert_allclose(logits, [[2 + np.log(3), 2]])
    loss, probs = SoftmaxCrossEntropy().forward(logits, label)
    assert loss == pytest.approx(np.log(4))
    np.testing.assert_allclose(probs, [[3 / 4, 1 / 4]])

    network.backward(SoftmaxCrossEntropy().backward(probs, label), work)
    gradients = network.named(network.grads)
    np.testing.assert_allclose(gradients["output.weight"], [[3 / 4, -3 / 4], [3 / 2, -3 / 2], [0.0, 0.0]])
    np.testing.assert_allclose(gradients["output.bias"], [3 / 4, -3 / 4])
    np.testing.assert_allclose(gradients["hidden.weight"], [[3 / 2, -3 / 4, 0], [3, -3 / 2, 0]])
    np.testing.assert_allclose(gradients["hidden.bias"], [3 / 2, -3 / 4, 0])

    SGD(network.params).step(network.params, network.grads, lr=4 / 3)
    np.testing.assert_allclose(values["hidden.weight"], [[-1, 2, 1], [-4, 3, -1]])
    np.testing.assert_allclose(values["hidden.bias"], [-2, 0, 0], atol=1e-15)
    np.testing.assert_allclose(values["output.weight"], [[1, 1], [-2, 3], [1, -1]], atol=1e-15)
    np.testing.assert_allclose(values["output.bias"], [np.log(3) - 1, 1])


# Images in, logits out


@pytest.mark.parametrize("loss", LOSSES)
def test_pictures_and_rows_of_pixels_give_the_same_bits(loss: str) -> None:
    network = network_of([784, 32, 10], loss=loss)
    images, labels = digits(9)
    work, results = Workspace(network, 9), []
    for x in (images, images.reshape(9, 784)):
        value = backpropagate(network, work, x, labels, loss=loss)
        results.append((value, work.values[-1].tobytes(), network.grads.tobytes()))
    assert results[0] == results[1]


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_a_short_batch_gives_the_bits_of_a_workspace_of_its_own_size(activation: str, dropout: float) -> None:
    network = network_of([784, 32, 10], activation, dropout=dropout)
    images, labels = digits(32)
    roomy, exact = Workspace(network, 32), Workspace(network, 7)
    backpropagate(network, roomy, images, labels, rng=np.random.default_rng(1))  # leaves a full batch behind
    results = []
    for work in (roomy, exact):
        value = backpropagate(network, work, images[:7], labels[:7], rng=np.random.default_rng(2))
        results.append((value, work.values[-1].tobytes(), network.grads.tobytes()))
    assert len(work.values[-1]) == 7
    assert results[0] == results[1]


def test_dropout_is_at_work_only_while_training() -> None:
    network, plain = network_of([784, 32, 10], dropout=0.5), network_of([784, 32, 10])
    images, _ = digits(5)
    work = Workspace(network, 5)
    evaluated = network.forward(images, work).copy()
    np.testing.assert_array_equal(evaluated, plain.forward(images, Workspace(plain, 5)))
    trained = network.forward(images, work, np.random.default_rng(0)).copy()
    assert np.all(trained != evaluated)
    np.testing.assert_array_equal(network.forward(images, work, np.random.default_rng(0)), trained)


def test_two_workspaces_do_not_disturb_each_other() -> None:
    network = network_of([784, 16, 10])
    (x1, labels1), (x2, _) = digits(4, seed=1), digits(4, seed=2)
    one, other = Workspace(network, 4), Workspace(network, 4)
    backpropagate(network, one, x1, labels1)
    alone = network.grads.copy()

    loss = SoftmaxCrossEntropy()
    logits = network.forward(x1, one)
    network.forward(x2, other)
    network.backward(loss.backward(loss.forward(logits, labels1)[1], labels1), one)
    np.testing.assert_array_equal(network.grads, alone)


@pytest.mark.parametrize(
    "first", [Flatten(), ReLU(), Sigmoid(), Tanh(), Dropout(0.5)], ids=lambda layer: type(layer).__name__
)
@pytest.mark.parametrize("second", [Linear(6, 6), ReLU()], ids=lambda layer: type(layer).__name__)
def test_the_images_are_never_written_to(first: Layer, second: Layer) -> None:
    network = Network({"first": first, "second": second, "output": Linear(6, 3)}, (6,))
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)
    x.setflags(write=False)
    work = Workspace(network, 4)
    for rng in (None, np.random.default_rng(0)):
        backpropagate(network, work, x, np.array([0, 1, 2, 0]), rng=rng)


MIDDLES: list[tuple[Layer, ...]] = [
    (ReLU(), Sigmoid()),
    (Sigmoid(), Tanh(), ReLU()),
    (Dropout(0.5), Sigmoid()),
    (Tanh(), Dropout(0.5)),
    (Dropout(0.5), Dropout(0.3)),
    (Flatten(), Tanh()),
]


@pytest.mark.parametrize("middle", MIDDLES, ids=lambda layers: " ".join(type(layer).__name__ for layer in layers))
def test_sharing_memory_never_changes_a_gradient_whatever_the_order_of_layers(middle: tuple[Layer, ...]) -> None:
    """Beside a pass in which each layer writes to fresh memory."""
    layers: dict[str, Layer] = {"hidden": Linear(6, 20)}
    layers |= {f"middle{i}": layer for i, layer in enumerate(middle)}
    layers["output"] = Linear(20, 3)
    network = Network(layers, (6,), np.float64)
    network.initialize(he, np.random.default_rng(0))
    x, dlogits = np.random.default_rng(1).normal(size=(8, 6)), np.random.default_rng(2).normal(size=(8, 3))

    work = Workspace(network, 8)
    network.forward(x, work, np.random.default_rng(3))
    network.backward(dlogits.copy(), work)
    shared = network.grads.copy()

    rng, values = np.random.default_rng(3), list[Array]([x])
    for layer in network.layers:
        fresh = values[-1].copy()
        values.append(layer.forward(fresh, None, rng) if isinstance(layer, Dropout) else layer.forward(fresh))
    dy: Array = dlogits
    for layer, before, after in reversed(list(zip(network.layers, values, values[1:], strict=False))):
        layer.backward_params(dy, before)
        dy = layer.backward(dy, before, after)
    np.testing.assert_allclose(shared, network.grads, rtol=1e-12, atol=1e-14)


# Backward


class Spy(Layer):
    """Counts how often a layer is asked for the gradient of its input."""

    asked = 0

    def backward(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        self.asked += 1
        return super().backward(dy, x, y, out)


class SpyLinear(Spy, Linear):
    pass


class SpyFlatten(Spy, Flatten):
    pass


def test_nobody_computes_the_gradient_of_the_pixels() -> None:
    flatten, first, last = SpyFlatten(), SpyLinear(784, 12), SpyLinear(12, 10)
    network = Network({"flatten": flatten, "first": first, "relu": ReLU(), "last": last}, (28, 28))
    work = Workspace(network, 4)
    for _ in range(3):
        backpropagate(network, work, *digits(4))
    assert (flatten.asked, first.asked, last.asked) == (0, 0, 3)


def test_backward_overwrites_the_gradients_of_the_step_before() -> None:
    network = network_of([784, 12, 10])
    work = Workspace(network, 4)
    backpropagate(network, work, *digits(4))
    first = network.grads.copy()
    network.grads[:] = np.nan
    backpropagate(network, work, *digits(4))
    np.testing.assert_array_equal(network.grads, first)


def test_every_step_uses_the_same_memory() -> None:
    network = network_of([784, 12, 12, 10], dropout=0.1)
    work = Workspace(network, 4)

    def addresses() -> list[int]:
        backpropagate(network, work, *digits(4), rng=np.random.default_rng(0))
        arrays = [
            *work.values[2:],
            *(array for array in work.gradients if array is not None),
            work.probs,
            network.grads,
        ]
        return [array.ctypes.data for array in arrays]

    assert addresses() == addresses()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_is_taken_in_one_precision_throughout(dtype: type[np.floating]) -> None:
    network = network_of([784, 12, 10], "tanh", "mse", dropout=0.2, dtype=dtype)
    work = Workspace(network, 4)
    backpropagate(network, work, *digits(4, dtype), loss="mse", rng=np.random.default_rng(0))
    arrays = [*work.values, *work.outputs, *work.gradients, work.probs, network.params, network.grads]
    assert {array.dtype for array in arrays if array is not None} == {np.dtype(dtype)}


# Parameters


def test_layers_look_into_one_flat_vector() -> None:
    network = network_of([784, 12, 10])
    linears = [layer for layer in network.layers if isinstance(layer, Linear)]
    network.params[:] = np.arange(len(network.params))
    network.grads[:] = -network.params
    begin = 0
    for layer in linears:
        for parameter, gradient in ((layer.weight, layer.dweight), (layer.bias, layer.dbias)):
            expected = np.arange(begin, begin + parameter.size).reshape(parameter.shape)
            np.testing.assert_array_equal(parameter, expected)
            np.testing.assert_array_equal(gradient, -expected)
            begin += parameter.size
    assert begin == len(network.params) == 784 * 12 + 12 + 12 * 10 + 10
    linears[0].weight[0, 0] = 99
    assert network.params[0] == 99


def test_parameters_are_named_after_layer_and_role() -> None:
    network = network_of([784, 12, 10])
    assert {name: array.shape for name, array in network.named(network.params).items()} == {
        "linear1.weight": (784, 12),
        "linear1.bias": (12,),
        "linear2.weight": (12, 10),
        "linear2.bias": (10,),
    }
    velocity = SGD(network.params, 0.9).state["velocity"]
    network.named(velocity)["linear2.bias"][:] = 1
    np.testing.assert_array_equal(velocity[-10:], 1)
    assert np.count_nonzero(velocity) == 10


def test_initializing_starts_anew_with_random_weights_and_zero_biases() -> None:
    network = network_of([784, 12, 10])
    fresh = network.params.copy()
    assert not network.named(fresh)["linear1.bias"].any()
    assert np.all(network.named(fresh)["linear1.weight"] != 0)
    network.params[:] = 5
    network.initialize(he, np.random.default_rng(0))
    np.testing.assert_array_equal(network.params, fresh)


def test_both_precisions_start_from_the_same_weights() -> None:
    single, double = network_of([784, 12, 10]), network_of([784, 12, 10], dtype=np.float64)
    np.testing.assert_array_equal(single.params, double.params.astype(np.float32))


# Shapes that do not fit


def test_layers_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="100 inputs"):
        Network({"hidden": Linear(784, 128), "output": Linear(100, 10)}, (784,))
    with pytest.raises(ValueError, match="784 inputs"):
        Network({"hidden": Linear(784, 10)}, (28, 28))


@pytest.mark.parametrize("shape", [(4, 783), (4, 28, 27), (4, 28, 28, 3), (5, 784)])
def test_images_of_another_shape_and_batches_larger_than_the_workspace_are_refused(shape: tuple[int, ...]) -> None:
    network = network_of([784, 12, 10])
    with pytest.raises(ValueError, match=r"mismatch|broadcast|shape"):
        network.forward(np.zeros(shape, np.float32), Workspace(network, 4))
