"""What the tests of data share."""

import socket

import pytest


@pytest.fixture
def refusing() -> str:
    """The URL of a mirror that refuses every connection."""
    with socket.create_server(("127.0.0.1", 0)) as once:
        return f"http://127.0.0.1:{once.getsockname()[1]}/"
