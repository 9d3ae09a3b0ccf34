"""The learning rate's course: where it begins and ends, which way it goes, and that it never jumps unasked."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnctl.nn.schedules import Constant, Cosine, OneCycle, StepDecay, WarmUp
from tests.support import twin

RATE = st.floats(1e-4, 10.0)
SHARE = st.floats(0.0, 1.0)
TOTAL = st.integers(2, 400)


@given(rate=RATE, step=st.integers(0, 10**6))
def test_constant_never_changes(rate: float, step: int) -> None:
    assert Constant(rate)(step) == rate


@given(
    rate=RATE,
    epochs=st.floats(0.05, 5.0),
    steps_per_epoch=st.integers(1, 20),
    factor=st.floats(0.05, 1.0),
    step=st.integers(0, 300),
)
def test_step_decay_falls_after_every_so_many_steps(
    rate: float, epochs: float, steps_per_epoch: int, factor: float, step: int
) -> None:
    every = math.ceil(epochs * steps_per_epoch)
    schedule = StepDecay(rate, epochs, factor, steps_per_epoch)
    assert schedule(0) == schedule(every - 1) == rate
    assert schedule(every) == rate * factor
    assert schedule(step) == pytest.approx(twin.step_decay(step, rate, every, factor), rel=1e-9)


@given(rate=RATE, total=TOTAL, share=SHARE)
def test_cosine_falls_smoothly_to_its_end_and_stays_there(rate: float, total: int, share: float) -> None:
    final = share * rate
    schedule = Cosine(rate, total, share)
    rates = [schedule(step) for step in range(total + 3)]
    assert rates[0] == pytest.approx(rate, rel=1e-12)
    assert rates[total:] == pytest.approx([final] * 3, rel=1e-12, abs=1e-15)
    assert_smooth(rates, down=(0, total), steepest=(rate - final) * math.pi / 2 / total)
    for step, value in enumerate(rates):
        assert value == pytest.approx(twin.cosine(step, rate, total, final), rel=1e-9, abs=1e-14)


def test_cosine_is_half_way_down_at_half_time_and_ends_at_zero_by_default() -> None:
    assert Cosine(0.2, 100)(50) == pytest.approx(0.1)
    assert Cosine(0.2, 100)(100) == 0


@given(rate=RATE, total=TOTAL, peak_share=SHARE, start_share=SHARE, final_share=SHARE)
def test_one_cycle_climbs_to_its_peak_and_falls_to_its_end(
    rate: float, total: int, peak_share: float, start_share: float, final_share: float
) -> None:
    peak, start, final = round(peak_share * (total - 1)), start_share * rate, final_share * rate
    schedule = OneCycle(rate, total, peak / total, start_share, final_share)
    rates = [schedule(step) for step in range(total + 3)]
    assert rates[0] == pytest.approx(start if peak else rate, rel=1e-12, abs=1e-15)
    assert rates[peak] == pytest.approx(rate, rel=1e-12)
    assert rates[total:] == pytest.approx([final] * 3, rel=1e-12, abs=1e-15)
    if peak:
        assert_smooth([-value for value in rates], down=(0, peak), steepest=(rate - start) * math.pi / 2 / peak)
    assert_smooth(rates, down=(peak, total), steepest=(rate - final) * math.pi / 2 / (total - peak))
    for step, value in enumerate(rates):
        expected = twin.one_cycle(step, rate, total=total, peak=peak, start=start, final=final)
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-14)


def test_one_cycle_reaches_a_peak_at_the_very_end() -> None:
    schedule = OneCycle(1.0, total_steps=10, peak_at=1.0, start_fraction=0.1, final_fraction=0.0)
    assert schedule(9) < schedule(10) == 1.0


@given(rate=RATE, steps=st.integers(1, 100), total=TOTAL)
def test_warm_up_grows_in_a_straight_line_and_then_steps_aside(rate: float, steps: int, total: int) -> None:
    flat = WarmUp(Constant(rate), steps)
    assert flat(0) == pytest.approx(rate / steps)
    for step in range(steps + 3):
        assert flat(step) == pytest.approx(twin.warm_up(step, rate, steps), rel=1e-12)
    cosine = Cosine(rate, total)
    assert all(WarmUp(cosine, steps)(step) == cosine(step) for step in range(steps - 1, steps + total))


EVERY = [Constant(0.1), StepDecay(0.1, 5, 0.5, 3), Cosine(0.1, 5), OneCycle(0.1, 9, 0.3, 0.1, 0.0)]


@pytest.mark.parametrize("schedule", [*EVERY, WarmUp(Constant(0.1), 3)])
def test_schedules_are_frozen_values(schedule) -> None:
    assert dataclasses.replace(schedule) == schedule
    assert hash(dataclasses.replace(schedule)) == hash(schedule)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(schedule, dataclasses.fields(schedule)[0].name, 1.0)


@pytest.mark.parametrize("schedule", EVERY)
def test_schedules_say_whether_they_depend_on_the_length_of_the_training(schedule) -> None:
    assert schedule.spans_training == hasattr(schedule, "total_steps")
    assert WarmUp(schedule, 4).spans_training == schedule.spans_training


def assert_smooth(rates: list[float], down: tuple[int, int], steepest: float) -> None:
    """Between two steps of `down` the rate never rises and never falls faster than `steepest` per step."""
    begin, end = down
    rounding = 1e-13 * max(abs(rate) for rate in rates)
    for before, after in zip(rates[begin:end], rates[begin + 1 : end + 1], strict=True):
        assert -rounding <= before - after <= steepest + rounding
