"""The network as a whole: a step worked out by hand, images in, gradients out, and whose memory is whose."""

import numpy as np
import pytest

from nnctl.errors import ArgumentError
from nnctl.nn.activations import Identity, ReLU, Sigmoid, Softmax, Tanh
from nnctl.nn.arrays import Array
from nnctl.nn.initializers import he, xavier
from nnctl.nn.layers import Dropout, Flatten, Layer, Linear
from nnctl.nn.losses import SoftmaxCrossEntropy
from nnctl.nn.network import PREDICTED_AT_ONCE, Network
from nnctl.nn.optimizers import SGD
from nnctl.nn.streams import Purpose, stream
from nnctl.nn.workspace import Workspace
from tests.support.recipes import Centre, backpropagate, digits, each_criterion, network_of

# One step by hand


def test_network_takes_the_step_that_paper_and_pencil_give() -> None:
    """2 inputs, 3 neurons with ReLU, 2 classes; one picture x = (1, 2) whose target is class 1.

    sums of the hidden layer   (1, 2) @ [[1, 1, 1], [0, 1, -1]] + (0, -1, 0) = (1, 2, -1)
    activations                (1, 2, 0): the third neuron is inactive
    logits                     (1, 2, 0) @ [[2, 0], [0, 1], [1, -1]] + (log 3, 0) = (2 + log 3, 2)
    probs                      3 : 1 = (3/4, 1/4), so the loss is -log 1/4 = log 4
    dlogits                    probs - (0, 1) = (3/4, -3/4)
    dweight2                   activations times dlogits = [[3/4, -3/4], [3/2, -3/2], [0, 0]], dbias2 = dlogits
    dactivations               dlogits @ weight2.T = (3/2, -3/4, 3/2), where active: (3/2, -3/4, 0) = dbias1
    dweight1                   x times that = [[3/2, -3/4, 0], [3, -3/2, 0]]
    one step at rate 4/3       everything minus 4/3 of its gradient
    """
    network = Network({"hidden": Linear(2, 3), "relu": ReLU(), "output": Linear(3, 2)}, dtype=np.float64)
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


@each_criterion
def test_network_forward_gives_the_same_bits_for_pictures_and_rows_of_pixels(loss: str, output: str) -> None:
    network = network_of([784, 32, 10])
    images, labels = digits(9)
    work, results = Workspace(network, 9), []
    for x in (images, images.reshape(9, 784)):
        value = backpropagate(network, work, x, labels, loss=loss, output=output)
        results.append((value, work.values[-1].tobytes(), network.grads.tobytes()))
    assert results[0] == results[1]


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_workspace_gives_a_short_batch_the_bits_of_one_of_exactly_its_size(activation: str, dropout: float) -> None:
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


def test_network_forward_drops_only_while_training() -> None:
    network, plain = network_of([784, 32, 10], dropout=0.5), network_of([784, 32, 10])
    images, _ = digits(5)
    work = Workspace(network, 5)
    evaluated = network.forward(images, work).copy()
    np.testing.assert_array_equal(evaluated, plain.forward(images, Workspace(plain, 5)))
    trained = network.forward(images, work, np.random.default_rng(0)).copy()
    assert np.all(trained != evaluated)
    np.testing.assert_array_equal(network.forward(images, work, np.random.default_rng(0)), trained)


def test_workspaces_do_not_disturb_each_other() -> None:
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
    "first",
    [Flatten(), ReLU(), Sigmoid(), Tanh(), Softmax(), Identity(), Dropout(0.5)],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("second", [Linear(6, 6), ReLU(), Identity()], ids=lambda layer: type(layer).__name__)
def test_network_never_writes_to_the_images(first: Layer, second: Layer) -> None:
    network = Network({"first": first, "second": second, "output": Linear(6, 3)}, input_shape=(6,))
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
    (Softmax(), Sigmoid()),
    (Identity(), Softmax()),
    (Sigmoid(), Identity(), Tanh()),
    (Identity(), Dropout(0.5), Identity()),
]


@pytest.mark.parametrize("middle", MIDDLES, ids=lambda layers: " ".join(type(layer).__name__ for layer in layers))
def test_workspace_shares_memory_without_changing_a_gradient_whatever_the_order_of_layers(
    middle: tuple[Layer, ...],
) -> None:
    """Beside a pass in which each layer writes to fresh memory."""
    layers: dict[str, Layer] = {"hidden": Linear(6, 20)}
    layers |= {f"middle{i}": layer for i, layer in enumerate(middle)}
    layers["output"] = Linear(20, 3)
    network = Network(layers, dtype=np.float64)
    network.initialize(he, np.random.default_rng(0))
    x, dlogits = np.random.default_rng(1).normal(size=(8, 6)), np.random.default_rng(2).normal(size=(8, 3))

    work = Workspace(network, 8)
    network.forward(x, work, np.random.default_rng(3))
    network.backward(dlogits.copy(), work)
    shared = network.grads.copy()

    rng, values = np.random.default_rng(3), list[Array]([x])
    for layer in network.layers:
        fresh = values[-1].copy()
        values.append(layer.forward(fresh, None, rng))
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


def test_network_backward_never_computes_the_gradient_of_the_pixels() -> None:
    flatten, first, last = SpyFlatten(), SpyLinear(784, 12), SpyLinear(12, 10)
    network = Network({"flatten": flatten, "first": first, "relu": ReLU(), "last": last}, input_shape=(28, 28))
    work = Workspace(network, 4)
    for _ in range(3):
        backpropagate(network, work, *digits(4))
    assert (flatten.asked, first.asked, last.asked) == (0, 0, 3)


def test_network_backward_overwrites_the_gradients_of_the_step_before() -> None:
    network = network_of([784, 12, 10])
    work = Workspace(network, 4)
    backpropagate(network, work, *digits(4))
    first = network.grads.copy()
    network.grads[:] = np.nan
    backpropagate(network, work, *digits(4))
    np.testing.assert_array_equal(network.grads, first)


def test_workspace_uses_the_same_memory_in_every_step() -> None:
    network = network_of([784, 12, 12, 10], dropout=0.1)
    work = Workspace(network, 4)

    def addresses() -> list[int]:
        backpropagate(network, work, *digits(4), rng=np.random.default_rng(0))
        arrays = [
            *work.values[2:],
            *(array for array in work.gradients if array is not None),
            work.probs,
            work.dlogits,
            network.grads,
        ]
        return [array.ctypes.data for array in arrays]

    assert addresses() == addresses()


def test_workspace_sets_memory_aside_for_each_layer_but_views_and_those_that_work_in_place() -> None:
    layers = [Flatten(), Tanh(), Linear(784, 9), ReLU(), Identity(), Sigmoid(), Dropout(0.5), Softmax(), Linear(9, 3)]
    work = Workspace(Network(layers, input_shape=(28, 28)), 4)
    assert [out is None for out in work.outputs] == [isinstance(layer, Flatten | Identity) for layer in layers]
    own = [i for i, out in enumerate(work.outputs) if not any(out is other for other in work.outputs[:i])]
    assert [type(layers[i]) for i in range(len(layers)) if i not in own] == [ReLU, Identity]


@each_criterion
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_network_stays_in_one_precision_throughout_a_step(dtype: type[np.floating], loss: str, output: str) -> None:
    network = network_of([784, 12, 10], "tanh", dropout=0.2, dtype=dtype)
    work = Workspace(network, 4)
    backpropagate(network, work, *digits(4, dtype), loss=loss, output=output, rng=np.random.default_rng(0))
    arrays = [*work.values, *work.outputs, *work.gradients, work.probs, work.dlogits, network.params, network.grads]
    assert {array.dtype for array in arrays if array is not None} == {np.dtype(dtype)}


# Parameters


def test_network_layers_view_one_flat_vector() -> None:
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


def test_network_names_parameters_after_layer_and_role() -> None:
    network = network_of([784, 12, 10])
    assert {name: array.shape for name, array in network.named(network.params).items()} == {
        "linear1.weight": (784, 12),
        "linear1.bias": (12,),
        "linear2.weight": (12, 10),
        "linear2.bias": (10,),
    }
    velocity = SGD(network.params, momentum=0.9).state["velocity"]
    network.named(velocity)["linear2.bias"][:] = 1
    np.testing.assert_array_equal(velocity[-10:], 1)
    assert np.count_nonzero(velocity) == 10


def test_network_initialize_starts_anew_with_random_weights_and_zero_biases() -> None:
    network = network_of([784, 12, 10])
    fresh = network.params.copy()
    assert not network.named(fresh)["linear1.bias"].any()
    assert np.all(network.named(fresh)["linear1.weight"] != 0)
    network.params[:] = 5
    network.initialize(he, np.random.default_rng(0))
    np.testing.assert_array_equal(network.params, fresh)


def test_network_starts_from_the_same_weights_in_both_precisions() -> None:
    single, double = network_of([784, 12, 10]), network_of([784, 12, 10], dtype=np.float64)
    np.testing.assert_array_equal(single.params, double.params.astype(np.float32))


def test_network_draws_its_first_weights_by_seed_and_initializer() -> None:
    def layers() -> list[Layer]:
        return [Linear(784, 12), ReLU(), Linear(12, 10)]

    assert not Network(layers()).params.any()
    for initializer in (he, xavier):
        network = Network(layers(), seed=5, initializer=initializer)
        expected = Network(layers())
        expected.initialize(initializer, stream(5, Purpose.WEIGHTS))
        assert network.params.tobytes() == expected.params.tobytes()
    assert Network(layers(), seed=5).params.tobytes() == Network(layers(), seed=5, initializer=he).params.tobytes()
    assert Network(layers(), seed=0).params.any()
    assert Network(layers(), seed=5).params.tobytes() != Network(layers(), seed=6).params.tobytes()


def test_network_names_the_layers_of_a_list_after_their_kinds() -> None:
    network = Network([Flatten(), Linear(784, 12), ReLU(), Dropout(0.1), Linear(12, 12), ReLU(), Linear(12, 10)])
    assert network.names == ("flatten1", "linear1", "relu1", "dropout1", "linear2", "relu2", "linear3")
    assert network.classes == 10
    named = Network({"any": Linear(784, 12), "name": Linear(12, 7)})
    assert named.names == ("any", "name")
    assert named.classes == 7


def test_network_asks_its_first_layer_for_the_shape_of_the_images() -> None:
    assert Network([Linear(20, 3)]).shapes == [(20,), (3,)]
    assert Network([ReLU(), Linear(20, 3)]).shapes == [(20,), (20,), (3,)]
    assert Network([Flatten(), Linear(20, 3)], input_shape=(4, 5)).shapes == [(4, 5), (20,), (3,)]


@pytest.mark.parametrize(
    ("sizes", "expected"), [([784, 10], (784, 10)), ([784, 5, 100, 100, 10], (100, 100)), ([9, 20, 30], (20, 30))]
)
def test_network_largest_product_is_that_of_the_largest_weight(sizes: list[int], expected: tuple[int, int]) -> None:
    assert network_of(sizes).largest_product(64) == (64, *expected)


def test_network_repr_shows_shapes_and_parameters() -> None:
    network = Network([Linear(784, 128), ReLU(), Linear(128, 10)], seed=0)
    assert repr(network).splitlines() == [
        "Network 784-128-10, 101,770 parameters",
        "  linear1  Linear(784, 128)    784 -> 128, 100,480 parameters",
        "  relu1    ReLU()              128 -> 128",
        "  linear2  Linear(128, 10)     128 -> 10, 1,290 parameters",
    ]
    pictures = Network({"flatten": Flatten(), "output": Linear(784, 10)}, input_shape=(28, 28))
    assert repr(pictures).splitlines() == [
        "Network 784-10, 7,850 parameters",
        "  flatten  Flatten()           28x28 -> 784",
        "  output   Linear(784, 10)     784 -> 10, 7,850 parameters",
    ]
    alike = Network([Linear(5, 4), ReLU(), Linear(4, 4), ReLU(), Linear(4, 3)])
    assert repr(alike).startswith("Network 5-4-4-3, 59 parameters\n")


# Loading


def test_network_load_copies_what_arrays_gives_into_the_memory_that_is_there() -> None:
    source, network = network_of([784, 12, 10], seed=1), network_of([784, 12, 10], seed=2)
    memory, arrays = network.params, source.arrays()
    network.load(arrays)
    assert network.params is memory
    assert network.params.tobytes() == source.params.tobytes()
    assert not np.shares_memory(network.params, source.params)
    network.load({name: array.tolist() for name, array in arrays.items()})  # whatever becomes an array
    assert network.params.tobytes() == source.params.tobytes()


def test_network_load_names_missing_and_extra_arrays() -> None:
    network = network_of([784, 12, 10])
    arrays = network.arrays()
    arrays["linear1.weights"] = arrays.pop("linear1.weight")
    arrays["more"] = np.zeros(3)
    with pytest.raises(ArgumentError) as caught:
        network.load(arrays)
    assert caught.value.message == (
        "these arrays do not fit this network: missing linear1.weight; extra linear1.weights, more"
    )


def test_network_load_names_arrays_of_another_shape() -> None:
    network = network_of([784, 12, 10])
    other = network.arrays() | {"linear1.bias": np.zeros((1, 12)), "linear2.weight": np.zeros((10, 12))}
    with pytest.raises(ArgumentError) as caught:
        network.load(other)
    assert caught.value.message == (
        "these arrays do not fit this network: "
        "linear1.bias is (1, 12), not (12,); linear2.weight is (10, 12), not (12, 10)"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda _: {},
        lambda arrays: {name: array + 1 for name, array in arrays.items() if name != "linear2.bias"},
        lambda arrays: {name: array + 1 for name, array in arrays.items()} | {"linear2.bias": np.zeros(1)},
        lambda arrays: {name: array + 1 for name, array in arrays.items()} | {"linear2.bias": np.float32(1)},
        lambda arrays: {name: array + 1 for name, array in arrays.items()} | {"more": np.zeros(1)},
    ],
    ids=["nothing", "one missing", "one that could be stretched", "a number", "one extra"],
)
def test_network_load_never_stretches_drops_or_invents_an_array(change) -> None:
    network = network_of([784, 12, 10])
    before = network.params.copy()
    with pytest.raises(ArgumentError, match="these arrays do not fit this network"):
        network.load(change(network.arrays()))
    np.testing.assert_array_equal(network.params, before)


@pytest.mark.parametrize("arrays", [[np.zeros((784, 10)), np.zeros(10)], np.zeros(7850), None])
def test_network_load_takes_nothing_but_a_mapping(arrays) -> None:
    with pytest.raises(ArgumentError, match=f"by name, from a mapping, not from a {type(arrays).__name__}"):
        network_of([784, 10]).load(arrays)


# Predicting


def test_network_predict_gives_a_row_for_each_image_and_one_for_an_image_alone() -> None:
    network = network_of([784, 16, 10])
    images, _ = digits(7)
    probs = network.predict(images)
    logits = network.forward(images, Workspace(network, 7))
    np.testing.assert_array_equal(probs, Softmax().forward(logits.copy()))
    assert probs.shape == (7, 10)
    np.testing.assert_array_equal(network.predict(images.reshape(7, 784)), probs)
    for image in (images[3], images[3].reshape(784), images[3].tolist()):
        alone = network.predict(image)
        assert alone.shape == (10,)
        np.testing.assert_allclose(alone, probs[3], rtol=1e-5)
    assert network.predict(images[:1]).shape == (1, 10)
    assert network.predict(images[:1].reshape(1, 784)).shape == (1, 10)


def test_network_predict_takes_one_image_of_its_own_shape() -> None:
    network = Network([Flatten(), Linear(20, 3)], seed=0, input_shape=(4, 5))
    image = np.linspace(0, 1, 20).reshape(4, 5)
    assert network.predict(image).shape == (3,)
    assert network.predict([image, image]).shape == (2, 3)
    narrow = Network([Linear(28, 3)], seed=0)  # 28 images of 28 pixels have the shape of a digit
    assert narrow.predict(np.zeros((28, 28))).shape == (28, 3)
    assert narrow.predict(np.zeros(28)).shape == (3,)


@pytest.mark.parametrize(
    ("output", "expected"),
    [(None, Softmax()), (Sigmoid(), Sigmoid()), (Identity(), Identity())],
    ids=["softmax by default", "sigmoid", "linear"],
)
def test_network_predict_applies_the_output_of_the_network(output: Layer | None, expected: Layer) -> None:
    network = Network([Linear(784, 10)], seed=0, output=output)
    images = digits(4)[0].reshape(4, 784)
    logits = network.forward(images, Workspace(network, 4)).copy()
    np.testing.assert_allclose(network.predict(images), expected.forward(logits), rtol=1e-6)


def test_network_predict_takes_more_images_than_go_through_at_once() -> None:
    network = network_of([784, 16, 10])
    images, _ = digits(2 * PREDICTED_AT_ONCE + 3)
    probs = network.predict(images)
    assert probs.shape == (2 * PREDICTED_AT_ONCE + 3, 10)
    np.testing.assert_allclose(
        probs, Softmax().forward(network.forward(images, Workspace(network, len(images)))), rtol=1e-5
    )


def test_network_predict_neither_drops_neurons_nor_writes_to_the_images() -> None:
    network, plain = network_of([784, 16, 10], dropout=0.5), network_of([784, 16, 10])
    images, _ = digits(5)
    images.setflags(write=False)
    np.testing.assert_array_equal(network.predict(images), plain.predict(images))


@pytest.mark.parametrize("output", [Softmax(), Sigmoid(), Identity()], ids=lambda layer: type(layer).__name__)
def test_network_predict_stays_finite_for_wide_logits(output: Layer) -> None:
    network = Network([Linear(784, 10)], output=output)
    network.arrays()["linear1.bias"][:] = np.linspace(-1e4, 1e4, 10)
    probs = network.predict(np.ones((3, 784)))
    assert np.isfinite(probs).all()
    np.testing.assert_array_equal(probs[:, 9], probs.max(axis=1))


def test_network_predict_of_weights_that_overflow_warns_of_nothing() -> None:
    network = Network([Linear(784, 10)])
    network.params[:] = 3e38
    assert not np.isfinite(network.predict(np.ones(784))).any()


@pytest.mark.parametrize(
    ("images", "message", "hint"),
    [
        (np.full((2, 784), 255, np.uint8), "pixels lie between 0 and 1; these go from 255 to 255", "divide by 255"),
        (np.linspace(0, 255, 784), "pixels lie between 0 and 1; these go from 0 to 255", "divide by 255"),
        (np.linspace(-1, 1, 784), "pixels lie between 0 and 1; these go from -1 to 1", "0 is black, 1 is white"),
        (np.linspace(0, 256, 784), "pixels lie between 0 and 1; these go from 0 to 256", "0 is black, 1 is white"),
        (np.full(784, np.nan), "pixels lie between 0 and 1; these go from nan to nan", "0 is black, 1 is white"),
        (np.zeros(783), "the network takes images of 784 pixels, shape (28, 28), not (783,)", ""),
        (np.zeros((4, 783)), "the network takes images of 784 pixels, shape (28, 28), not (4, 783)", ""),
        (np.zeros((4, 28, 27)), "the network takes images of 784 pixels, shape (28, 28), not (4, 28, 27)", ""),
        (np.zeros((4, 28, 28, 3)), "the network takes images of 784 pixels, shape (28, 28), not (4, 28, 28, 3)", ""),
        (0.5, "the network takes images of 784 pixels, shape (28, 28), not ()", ""),
        (np.zeros((0, 28, 28)), "there are no images to predict", ""),
        ([], "there are no images to predict", ""),
        ("seven.png", "images are arrays of numbers, not of <U9", ""),
        (["a", "b"], "images are arrays of numbers, not of <U1", ""),
        (None, "images are arrays of numbers, not of object", ""),
        (np.zeros(784, complex), "images are arrays of numbers, not of complex128", ""),
        ([[0.0] * 784, [0.0] * 783], "images are arrays of numbers, all of one shape", ""),
    ],
)
def test_network_predict_says_what_is_wrong_with_images(images, message: str, hint: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        network_of([784, 10]).predict(images)
    assert (caught.value.message, caught.value.hint) == (message, hint)


# A layer's own state


def test_network_arrays_hold_parameters_and_the_layers_own_state() -> None:
    centre = Centre()
    network = Network({"centre": centre, "output": Linear(6, 3)}, seed=0, input_shape=(6,))
    assert {name: array.shape for name, array in network.arrays().items()} == {
        "output.weight": (6, 3),
        "output.bias": (3,),
        "centre.mean": (6,),
    }
    assert network.named(network.params).keys() == {"output.weight", "output.bias"}  # what is trained
    network.forward(np.ones((4, 6), np.float32), Workspace(network, 4), np.random.default_rng(0))
    np.testing.assert_allclose(network.arrays()["centre.mean"], 0.1)
    assert np.shares_memory(network.arrays()["centre.mean"], network.state)
    network.forward(np.ones((4, 6), np.float32), Workspace(network, 4))  # evaluating
    np.testing.assert_allclose(network.state, 0.1)


def test_network_load_restores_the_layers_own_state_and_asks_for_it() -> None:
    def network() -> Network:
        return Network({"centre": Centre(), "output": Linear(6, 3)}, seed=0, input_shape=(6,))

    source, target = network(), network()
    source.state[:] = np.arange(6)
    target.load(source.arrays())
    np.testing.assert_array_equal(target.arrays()["centre.mean"], np.arange(6))
    with pytest.raises(ArgumentError, match=r"missing centre\.mean$"):
        target.load(source.named(source.params))


def test_network_initialize_starts_the_layers_own_state_anew() -> None:
    network = Network({"centre": Centre(), "output": Linear(6, 3)}, seed=0, input_shape=(6,))
    network.state[:] = 5
    network.initialize(he, np.random.default_rng(0))
    assert not network.state.any()


# What does not fit


def test_network_refuses_layers_that_do_not_fit_each_other() -> None:
    with pytest.raises(ValueError, match="100 inputs"):
        Network({"hidden": Linear(784, 128), "output": Linear(100, 10)}, input_shape=(784,))
    with pytest.raises(ValueError, match="784 inputs"):
        Network({"hidden": Linear(784, 10)}, input_shape=(28, 28))


@pytest.mark.parametrize(
    ("layers", "message", "hint"),
    [
        ([Linear(784, 10), ReLU], f"layer 2 of the network is not a layer, but {ReLU!r}", "write ReLU()"),
        ({"output": Softmax}, f"output of the network is not a layer, but {Softmax!r}", "write Softmax()"),
        ([Linear(784, 10), "relu"], "layer 2 of the network is not a layer, but 'relu'", "Linear(784, 128) is one"),
        ([784, 128, 10], "layer 1 of the network is not a layer, but 784", "Linear(784, 128) is one"),
        ("relu", "a network takes layers, as a list or by name, not a str", ""),
        (Linear(784, 10), "a network takes layers, as a list or by name, not a Linear", ""),
        (None, "a network takes layers, as a list or by name, not a NoneType", ""),
        ([], "a network without parameters has nothing to learn", "give it a Linear layer"),
        ([ReLU()], "a network without parameters has nothing to learn", "give it a Linear layer"),
    ],
)
def test_network_refuses_what_is_not_a_layer(layers, message: str, hint: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        Network(layers)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_network_refuses_a_layer_with_parameters_that_comes_twice() -> None:
    layer, relu = Linear(6, 6), ReLU()
    with pytest.raises(ArgumentError, match="a layer with parameters has one place in a network"):
        Network([layer, relu, layer])
    assert Network([layer, relu, Linear(6, 6), relu, Linear(6, 3)]).params.size == 2 * 42 + 21


def test_network_without_parameters_is_refused_even_if_it_knows_its_images() -> None:
    with pytest.raises(ArgumentError, match="nothing to learn"):
        Network([ReLU()], input_shape=(784,))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 783), r"images of shape \(28, 28\), not \(783,\)"),
        ((4, 28, 27), r"images of shape \(28, 28\), not \(28, 27\)"),
        ((4, 28, 28, 3), r"images of shape \(28, 28\), not \(28, 28, 3\)"),
        ((5, 784), "a batch of 5 images is too large for a workspace of 4"),
        ((5, 28, 28), "a batch of 5 images is too large for a workspace of 4"),
    ],
)
def test_network_forward_refuses_images_of_another_shape_and_batches_larger_than_the_workspace(
    shape: tuple[int, ...], message: str
) -> None:
    network = network_of([784, 12, 10])
    with pytest.raises(ArgumentError, match=message):
        network.forward(np.zeros(shape, np.float32), Workspace(network, 4))
