"""The random numbers: for each purpose and epoch its own, the same in every version."""

import itertools

from nnctl.nn.streams import Purpose, stream


def test_stream_differs_for_every_seed_purpose_and_epoch():
    keys = list(itertools.product((0, 1, 2**31, 2**63 - 1), Purpose, (0, 1, 2, 99_999)))
    first = {key: stream(*key).integers(2**63, size=2).tobytes() for key in keys}
    assert len(set(first.values())) == len(keys)


def test_stream_can_be_replayed_without_those_before():
    expected = stream(7, Purpose.SHUFFLE, 3).permutation(20).tolist()
    stream(7, Purpose.SHUFFLE, 2).random(1000)
    assert stream(7, Purpose.SHUFFLE, 3).permutation(20).tolist() == expected


def test_stream_stays_the_same_in_every_version():
    # a change here breaks every promise that a saved configuration repeats its run
    drawn = {purpose.name: [stream(0, purpose, epoch).integers(1000) for epoch in (0, 1)] for purpose in Purpose}
    assert drawn == {
        "WEIGHTS": [850, 889],
        "SHUFFLE": [522, 674],
        "DROPOUT": [979, 967],
        "AUGMENTATION": [503, 918],
        "MIX": [450, 661],
        "JUDGE": [696, 558],
    }
