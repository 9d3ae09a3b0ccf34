"""A trained network, read from a run or a file: it predicts, is measured, and claims no more than its checkpoint."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nnctl import build, checkpoint
from nnctl.checkpoint import Checkpoint
from nnctl.data.catalog import CATALOG
from nnctl.data.examples import Examples
from nnctl.data.synthetic import draw
from nnctl.errors import ArgumentError, CheckpointError, ImageError
from nnctl.judge import train_judge
from nnctl.model import Model
from nnctl.nn.calibration import tempered
from nnctl.picture.decode import read_digit, to_png
from nnctl.run import train_run
from nnctl.rundir import RunDir
from nnctl.train import Trainer, evaluate
from tests.support.judges import ACCEPTS, DOUBTS, REFUSES, judge_who
from tests.support.pictures import encoded, seven
from tests.support.trainings import (
    NONE,
    TEST,
    TRAIN,
    VALIDATION,
    configured,
    dataset,
    finish,
    snapshot,
    trainer_of,
)

pytestmark = pytest.mark.usefixtures("empty_folder")


@pytest.fixture
def trainer() -> Trainer:
    """It has finished its three epochs."""
    trainer = trainer_of("data.dataset=mnist")
    finish(trainer)
    return trainer


@pytest.fixture
def saved(trainer: Trainer) -> Checkpoint:
    return snapshot(trainer, "data.dataset=mnist")


@pytest.fixture
def path(saved: Checkpoint, tmp_path: Path) -> Path:
    """A checkpoint file that lies alone."""
    path = tmp_path / "alone.npz"
    checkpoint.save(path, saved)
    return path


def changed(saved: Checkpoint, change: Callable[[dict[str, Any]], object]) -> Checkpoint:
    """A checkpoint with another configuration."""
    config = {key: dict(value) if isinstance(value, dict) else value for key, value in saved.config.items()}
    change(config)
    return dataclasses.replace(saved, config=config)


# load


def test_model_load_gives_a_judge_and_a_temperature_where_the_checkpoint_has_them(
    saved: Checkpoint, tmp_path: Path
) -> None:
    bare = Model.from_checkpoint(saved, Path("any.npz"))
    assert (bare.judge, bare.temperature) == (None, 1.0)
    judge = train_judge(TRAIN[:30], 0)
    path = tmp_path / "ready.npz"
    checkpoint.save(path, dataclasses.replace(saved, reading={"temperature": 1.75}, judge=judge.params()))
    model = Model.load(path)
    assert model.temperature == 1.75
    assert model.judge is not None
    np.testing.assert_array_equal(model.judge.probabilities(TEST.pixels()), judge.probabilities(TEST.pixels()))
    np.testing.assert_array_equal(model.predict(TEST.pixels()), bare.predict(TEST.pixels()))


def test_model_load_refuses_a_judge_of_another_shape(saved: Checkpoint) -> None:
    judge = train_judge(TRAIN[:30], 0).params()
    for other in (judge | {"output.bias": np.zeros(10, np.float32)}, {"output.bias": judge["output.bias"]}):
        wrong = dataclasses.replace(saved, reading={"temperature": 1.0}, judge=other)
        with pytest.raises(CheckpointError, match=r"^any\.npz: holds a judge of another shape"):
            Model.from_checkpoint(wrong, Path("any.npz"))


def test_model_load_gives_what_the_checkpoint_holds(trainer: Trainer, path: Path) -> None:
    model = Model.load(path)
    assert model.path == path
    assert model.epochs == 3
    assert model.config["network"]["hidden"] == [8]
    assert model.class_names == CATALOG["mnist"].classes == tuple("0123456789")
    assert model.dataset == "mnist"
    assert model.data == configured("data.dataset=mnist").data
    np.testing.assert_array_equal(model.network.params, trainer.network.params)
    assert type(model.criterion) is type(trainer.criterion)


def test_model_load_takes_text_and_paths_of_files_and_runs(path: Path, trainer: Trainer) -> None:
    run = RunDir(Path("runs/one"))
    run.best.parent.mkdir(parents=True)
    checkpoint.save(run.last, snapshot(trainer_of()))
    assert Model.load("runs/one").path == Model.load(Path("runs/one")).path == run.last
    checkpoint.save(run.best, snapshot(trainer))
    assert Model.load("runs/one").path == Model.load(Path("runs/one")).path == run.best
    assert Model.load("runs/one/checkpoints/last.npz").path == run.last
    assert Model.load(str(path)).path == Model.load(path).path == path
    expected = trainer.network.predict(TEST.pixels())
    for source in ("runs/one", str(path), path, None):
        np.testing.assert_array_equal(Model.load(source).predict(TEST.pixels()), expected)


def test_model_load_of_nothing_takes_the_newest_run_that_has_finished_an_epoch() -> None:
    for number, name in enumerate(("old", "new", "begun")):
        run = RunDir(Path("runs", name))
        run.best.parent.mkdir(parents=True)
        checkpoint.save(run.last, snapshot(trainer_of(f"seed={number}"), f"seed={number}"))
        if name != "begun":
            checkpoint.save(run.best, snapshot(trainer_of(f"seed={number}"), f"seed={number}"))
        os.utime(run.last, (number + 1000, number + 1000))
    assert Model.load().path == Model.load(None).path == Path("runs/new/checkpoints/best.npz")


@pytest.mark.parametrize("source", [None, "nowhere.npz", Path("nowhere.npz"), Path()])
def test_model_load_of_what_is_not_there_is_a_checkpoint_error(source: Path | str | None) -> None:
    with pytest.raises(CheckpointError):
        Model.load(source)


def test_model_load_gives_the_network_that_a_run_tested() -> None:
    result = train_run(configured(), dataset(), "run")
    model = Model.load("run")
    assert model.evaluate(TEST).loss == result.test.loss
    assert model.epochs == result.metadata["best"]["epoch"]
    assert model.dataset == "synthetic"
    without = train_run(configured("data.validation=0"), dataset(NONE), "without")
    assert Model.load("without").path == RunDir(without.directory).last


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("output", [None, "softmax", "sigmoid"])
def test_model_load_gives_the_loss_and_the_output_of_the_training(loss: str, output: str | None) -> None:
    overrides = [f"loss={loss}", *([] if output is None else [f"network.output={output}"])]
    trainer = trainer_of(*overrides)
    model = Model.from_checkpoint(snapshot(trainer, *overrides), Path("any.npz"))
    assert type(model.criterion) is type(trainer.criterion)
    assert type(model.network.output) is type(trainer.network.output)
    assert model.evaluate(TEST).loss == evaluate(trainer.network, TEST, trainer.criterion).loss


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["network"].update(hidden=[9]),
        lambda config: config["network"].update(hidden=[8, 8]),
        lambda config: config["network"].update(hidden=[]),
        lambda config: config["network"].update(hidden=8),
        lambda config: config["network"].update(hidden="8"),
        lambda config: config["network"].update(hidden=[-8]),
        lambda config: config["network"].update(hidden=[10**12]),
        lambda config: config["network"].update(hidden=None),
        lambda config: config["network"].update(activation="eval"),
        lambda config: config["network"].update(activation=None),
        lambda config: config["network"].update(output="eval"),
        lambda config: config["network"].update(output="linear"),  # which no cross-entropy compares
        lambda config: config["network"].pop("hidden"),
        lambda config: config.update(network=[]),
        lambda config: config.update(loss="eval"),
        lambda config: config.pop("loss"),
        lambda config: config.clear(),
    ],
)
def test_model_load_refuses_a_configuration_that_does_not_fit_the_arrays(
    saved: Checkpoint, change: Callable[[dict[str, Any]], object]
) -> None:
    checkpoint.save(Path("wrong.npz"), changed(saved, change))
    with pytest.raises(CheckpointError, match=r"^wrong\.npz: its configuration does not fit its arrays(\n|$)"):
        Model.load("wrong.npz")


# what it was trained on


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist", "synthetic"])
def test_model_class_names_are_those_of_its_dataset(saved: Checkpoint, name: str) -> None:
    model = Model.from_checkpoint(changed(saved, lambda config: config["data"].update(dataset=name)), Path("any.npz"))
    assert (model.dataset, model.class_names) == (name, CATALOG[name].classes)
    assert len(model.class_names) == build.CLASSES


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.pop("data"),
        lambda config: config.update(data=None),
        lambda config: config.update(data="mnist"),
        lambda config: config["data"].pop("dataset"),
        lambda config: config["data"].update(dataset="auto"),  # which says nothing
        lambda config: config["data"].update(dataset="cats"),
        lambda config: config["data"].update(dataset=["mnist"]),
        lambda config: config["data"].update(dataset=None),
    ],
)
def test_model_makes_no_class_names_up(saved: Checkpoint, change: Callable[[dict[str, Any]], object]) -> None:
    model = Model.from_checkpoint(changed(saved, change), Path("any.npz"))
    for ask in (lambda: model.class_names, lambda: model.dataset):
        with pytest.raises(CheckpointError, match=r"any\.npz: does not say which images it was trained on"):
            ask()
    with pytest.raises(CheckpointError, match=r"any\.npz: does not say which images it was trained on"):
        model.read(encoded(seven()))
    np.testing.assert_array_equal(model.predict(TEST.pixels()).argmax(axis=1), model.evaluate(TEST).predictions)


def test_model_data_that_nobody_can_have_trained_with_is_a_checkpoint_error(saved: Checkpoint) -> None:
    model = Model.from_checkpoint(changed(saved, lambda config: config["data"].update(validation=-1)), Path("any.npz"))
    with pytest.raises(CheckpointError, match=r"any\.npz") as caught:
        _ = model.data
    assert any("data.validation" in line for line in (caught.value.message, *caught.value.details))


# predict


def test_model_predict_gives_the_probability_of_each_class(path: Path, trainer: Trainer) -> None:
    model, pixels = Model.load(path), TEST.pixels()
    probs = model.predict(pixels)
    assert probs.shape == (len(TEST), 10)
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(probs, trainer.network.predict(pixels))
    np.testing.assert_allclose(model.predict(pixels.reshape(-1, 784)), probs, rtol=1e-6)
    one = model.predict(pixels[3])
    assert one.shape == (10,)
    np.testing.assert_allclose(one, probs[3], rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(model.predict(pixels[3].reshape(784)), one)
    np.testing.assert_array_equal(model.predict(pixels[3].tolist()), one)
    assert (probs.argmax(axis=1) == TEST.labels).mean() > 0.5


@pytest.mark.parametrize(
    "images",
    [
        np.full((2, 28, 28), 255.0),
        np.full((28, 28), -0.1),
        np.full((28, 28), np.nan),
        np.zeros((2, 27, 28)),
        np.zeros((0, 28, 28)),
        np.full((28, 28), "a"),
        "digit.png",
    ],
    ids=["bytes", "below zero", "nan", "another size", "none", "text", "a name"],
)
def test_model_predict_refuses_what_is_no_image(path: Path, images: Any) -> None:
    with pytest.raises(ArgumentError):
        Model.load(path).predict(images)


def test_model_whose_outputs_are_not_finite_is_a_checkpoint_error(trainer: Trainer) -> None:
    trainer.network.params[:] = 3e38  # finite, but no sum of them is
    checkpoint.save(Path("huge.npz"), snapshot(trainer))
    model = Model.load("huge.npz")
    for ask in (lambda: model.predict(TEST.pixels()), lambda: model.predict(TEST.pixels()[0])):
        with pytest.raises(CheckpointError, match=r"^huge\.npz: its outputs are not finite numbers(\n|$)"):
            ask()
    with pytest.raises(CheckpointError, match=r"^huge\.npz: its outputs are not finite numbers(\n|$)"):
        model.evaluate(TEST)


# read


def reader(*overrides: str, thinks: float | None = None, temperature: float = 1.0, name: str = "mnist") -> Model:
    """An untrained network of a dataset, and a judge who thinks that of every picture."""
    overrides = (f"data.dataset={name}", *overrides)
    saved = snapshot(trainer_of(*overrides), *overrides)
    if thinks is not None:
        saved = dataclasses.replace(saved, judge=judge_who(thinks).params())
    if thinks is not None or temperature != 1:
        saved = dataclasses.replace(saved, reading={"temperature": temperature})
    return Model.from_checkpoint(saved, Path("any.npz"))


def two_digits() -> bytes:
    """A picture of two digits, side by side."""
    return encoded(Image.fromarray(np.hstack(list(draw(2, 3)[0]))).resize((560, 280)))


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    """A digit, (28, 28)."""
    (digit,), _ = draw(1, 3)
    image: NDArray[np.uint8] = digit
    return image


def test_model_read_takes_paths_text_and_bytes(pixels: NDArray[np.uint8]) -> None:
    model, path = reader(), Path("digit.png")
    path.write_bytes(to_png(pixels))
    for picture in (path, str(path), path.read_bytes()):
        reading = model.read(picture)
        np.testing.assert_array_equal(reading.pixels, pixels)
        np.testing.assert_array_equal(reading.probabilities, model.predict(pixels / np.float32(255)))
        assert reading.prediction == reading.probabilities.argmax()
        assert (reading.box, reading.warning) == ((0, 0, 28, 28), None)


def test_model_read_finds_the_digit_and_says_where_it_lies() -> None:
    model = reader()
    page = Image.new("L", (300, 400), 255)
    page.paste(seven(100), (150, 200))  # its strokes from (25, 20) to (75, 85)
    reading = model.read(encoded(page))
    assert reading.box == pytest.approx((220, 175, 285, 225), abs=8)  # a stroke has a width
    np.testing.assert_array_equal(reading.pixels, read_digit(encoded(page), "page"))
    np.testing.assert_allclose(reading.probabilities, model.predict(reading.pixels / 255), rtol=1e-4)


@pytest.mark.parametrize("format_", ["PNG", "JPEG"])  # large JPEGs are decoded at a fraction of their size
def test_model_read_says_where_the_digit_lies_in_pixels_of_a_large_picture(format_: str) -> None:
    page = Image.new("L", (3000, 4000), 255)
    page.paste(seven(100).resize((1000, 1000)), (1500, 2000))
    assert reader().read(encoded(page, format_)).box == pytest.approx((2200, 1750, 2850, 2250), abs=80)


def test_model_read_says_where_the_digit_lies_on_a_sheet_of_a_large_picture() -> None:
    table = Image.new("L", (4000, 3000), 40)
    table.paste(255, (1000, 500, 3400, 2500))
    table.paste(seven(100).resize((1000, 1000)), (1500, 1000))
    assert reader().read(encoded(table)).box == pytest.approx((1200, 1750, 1850, 2250), abs=80)


def test_model_read_says_where_the_digit_lies_in_a_picture_that_exif_turns() -> None:
    page = Image.new("L", (3000, 2000), 255)
    page.paste(seven(100).resize((1000, 1000)), (1800, 700))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its left side
    turned = page.transpose(Image.Transpose.ROTATE_90)
    assert reader().read(encoded(turned, exif=exif)).box == pytest.approx((900, 2050, 1550, 2550), abs=80)


@pytest.mark.parametrize("size", [(333, 501), (501, 333), (2001, 3000)])
def test_model_read_finds_nothing_beyond_the_picture(size: tuple[int, int]) -> None:
    width, height = size
    page = Image.new("L", size, 255)
    page.paste(0, (width // 3, height // 5, width, height))
    page.paste(255, (width // 2, height // 3, width - 8, height - 8))
    for model in (reader(), reader(name="fashion-mnist")):
        top, left, bottom, right = model.read(encoded(page), force=True).box
        assert 0 <= top < bottom <= height
        assert 0 <= left < right <= width


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_model_read_calibrates_probabilities_and_predict_does_not(
    pixels: NDArray[np.uint8], temperature: float
) -> None:
    model, plain = reader(temperature=temperature), reader()
    uncalibrated = plain.predict(pixels / 255)
    np.testing.assert_array_equal(model.predict(pixels / 255), uncalibrated)
    reading = model.read(to_png(pixels))
    np.testing.assert_allclose(reading.probabilities, tempered(uncalibrated, temperature), rtol=1e-4)
    assert (reading.probabilities.max() > uncalibrated.max()) == (temperature < 1)
    assert reading.prediction == uncalibrated.argmax()


@pytest.mark.parametrize("thinks", [None, ACCEPTS])
def test_model_read_leaves_outputs_that_are_no_probabilities_as_they_are(
    pixels: NDArray[np.uint8], thinks: float | None
) -> None:
    model = reader("loss=mse", "network.output=linear", thinks=thinks)
    model.network.params[-10:] = [-9, *[-5] * 9]  # the biases of the outputs
    outputs = model.predict(pixels / 255)
    assert outputs.max() < 0
    np.testing.assert_array_equal(model.read(to_png(pixels), force=True).probabilities, outputs)


def test_model_read_refuses_what_the_judge_is_sure_is_no_digit_unless_it_is_forced(pixels: NDArray[np.uint8]) -> None:
    model, picture = reader(thinks=REFUSES), to_png(pixels)
    closest = reader().read(picture)
    with pytest.raises(ImageError, match=rf"^picture: .* does not look like a digit \(closest: {closest.prediction}\)"):
        model.read(picture)
    forced = model.read(picture, force=True)
    np.testing.assert_array_equal(forced.probabilities, closest.probabilities)
    assert forced.warning is None


def test_model_read_warns_of_what_the_judge_doubts(pixels: NDArray[np.uint8]) -> None:
    picture = to_png(pixels)
    readings = [reader(thinks=thinks).read(picture) for thinks in (ACCEPTS, DOUBTS)]
    assert [reading.warning for reading in readings] == [None, "this may be no digit"]
    np.testing.assert_array_equal(readings[0].probabilities, readings[1].probabilities)


@pytest.mark.parametrize("thinks", [None, ACCEPTS, REFUSES])
def test_model_read_refuses_several_digits_unless_it_is_forced(thinks: float | None) -> None:
    model = reader(thinks=thinks)
    with pytest.raises(ImageError, match=r"^picture: the picture holds 2 separate shapes, not one digit") as caught:
        model.read(two_digits())
    assert ("both look like digits" in caught.value.message) == (thinks == ACCEPTS)
    forced = model.read(two_digits(), force=True)
    assert forced.box[3] < 280 or forced.box[1] > 280  # one of the two


@pytest.mark.parametrize("name", ["mnist", "kmnist"])
@pytest.mark.parametrize("force", [False, True])
def test_model_read_cannot_read_a_blank_page_or_what_is_no_picture(name: str, force: bool) -> None:
    model = reader(name=name)
    for content, message in ((encoded(Image.new("L", (50, 50), 255)), "the page is blank"), (b"text", "not a PNG")):
        Path("page.png").write_bytes(content)
        for picture, called in ((content, "picture"), ("page.png", "page.png")):
            with pytest.raises(ImageError, match=f"^{called}: {message}"):  # named once
                model.read(picture, force=force)
            with pytest.raises(ImageError, match=f"^mine: {message}"):
                model.read(picture, name="mine", force=force)
    with pytest.raises(ImageError, match=r"^nowhere\.png: cannot be read"):
        model.read("nowhere.png", force=force)


def test_model_read_of_other_things_than_digits_sees_the_whole_picture_and_asks_no_judge() -> None:
    model = reader(name="fashion-mnist", thinks=REFUSES)
    cloth = np.random.default_rng(0).integers(0, 200, (28, 28), np.uint8)  # up to the edges, as no digit is
    reading = model.read(to_png(cloth))
    np.testing.assert_array_equal(reading.pixels, cloth)
    np.testing.assert_allclose(reading.probabilities, model.predict(cloth / np.float32(255)))
    assert (reading.box, reading.warning) == ((0, 0, 28, 28), None)
    other = model.read(encoded(seven(100)))
    np.testing.assert_array_equal(other.pixels, read_digit(encoded(seven(100)), "seven"))
    assert (
        other.warning
        == "fashion-mnist wants pictures of 28x28 pixels; this one was prepared in the way made for digits"
    )


def test_model_read_with_weights_that_are_too_large_is_a_checkpoint_error(pixels: NDArray[np.uint8]) -> None:
    network, judge = reader(), reader(thinks=ACCEPTS)
    network.network.params[:] = 3e38
    assert judge.judge is not None
    judge.judge.network.params[:] = 3e38
    for model in (network, judge):
        with pytest.raises(CheckpointError, match=r"^any\.npz: its outputs are not finite numbers(\n|$)"):
            model.read(to_png(pixels))


# evaluate


def test_model_evaluate_gives_what_training_said(path: Path, trainer: Trainer) -> None:
    result = Model.load(path).evaluate(VALIDATION)
    assert result.loss == trainer.history[-1]["validation_loss"]
    assert result.accuracy == trainer.history[-1]["validation_accuracy"]


@pytest.mark.parametrize("examples", [NONE, Examples(TRAIN.images, TRAIN.labels + 1)], ids=["none", "other classes"])
def test_model_evaluate_refuses_wrong_examples(path: Path, examples: Examples) -> None:
    with pytest.raises(ArgumentError):
        Model.load(path).evaluate(examples)


def test_model_is_frozen(path: Path) -> None:
    model = Model.load(path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.epochs = 7  # type: ignore[misc]
