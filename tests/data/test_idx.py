"""IDX files: what is right comes through bit by bit, what is wrong is named."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnctl.data import idx
from nnctl.errors import DataError

IMAGES = np.arange(3 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
LABELS = np.array([0, 9, 4], np.uint8)


@pytest.mark.parametrize("values", [IMAGES, LABELS], ids=["images", "labels"])
def test_parse_gives_back_the_array_that_was_encoded(values):
    parsed = idx.parse(idx.encode(values), "file")
    assert parsed.dtype == np.uint8
    np.testing.assert_array_equal(parsed, values)


def test_parse_understands_a_header_written_by_hand():
    data = bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 1])
    assert idx.parse(data, "file").tolist() == [7, 1]
    assert idx.encode(np.array([7, 1], np.uint8)) == data


def test_parse_does_not_copy():
    data = bytearray(idx.encode(LABELS))
    labels = idx.parse(memoryview(data), "file")
    data[-1] = 8
    assert labels[-1] == 8


def test_parse_gives_read_only_arrays():
    with pytest.raises(ValueError, match="read-only"):
        idx.parse(idx.encode(LABELS), "file")[0] = 1


def test_encode_writes_a_view_of_another_memory_order_in_reading_order():
    flipped = IMAGES.transpose(0, 2, 1)
    np.testing.assert_array_equal(idx.parse(idx.encode(flipped), "file"), flipped)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is not an IDX file: it is empty"),
        (b"\0\0\x08", "is not an IDX file: it begins with 00 00 08"),
        (b"\x1f\x8b\x08\x00rest", "is not an IDX file: it begins with 1f 8b 08 00"),
        (b"<!DOCTYPE html>", "is not an IDX file"),
        (b"\0\0\x0d\x01" + bytes(4), "values of type 0x0d"),
        (b"\0\0\x08\x02" + bytes(8), "has 2 dimensions"),
        (b"\0\0\x08\x03" + bytes(5), "ends within its header"),
        (struct.pack(">HBB3I", 0, 8, 3, 1, 28, 27) + bytes(28 * 27), "28x27 pixels instead of 28x28"),
        (idx.encode(IMAGES)[:-1], "is truncated: 2,367 bytes instead of 2,368"),
        (idx.encode(LABELS) + b"\0", "is too long: 12 bytes instead of 11"),
        (struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 28, 28), "is truncated: 16 bytes instead of 3,367,254,359,296"),
        (idx.encode(np.array([3, 10], np.uint8)), "the label 10 at index 1"),
    ],
)
def test_parse_says_what_is_wrong_with_a_file(data, complaint):
    with pytest.raises(DataError) as caught:
        idx.parse(data, "some/file")
    assert caught.value.message.startswith("some/file ")
    assert complaint in caught.value.message
    assert "nnctl data fetch" in caught.value.hint


@given(st.binary(max_size=64))
def test_parse_accepts_or_refuses_any_bytes(tail):
    for head in (b"", b"\0\0\x08\x01", b"\0\0\x08\x03"):
        try:
            values = idx.parse(head + tail, "file")
        except DataError:
            continue
        assert idx.encode(values) == head + tail
