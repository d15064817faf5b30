"""A local backend on a real socket, and clients of it."""

from __future__ import annotations

import contextlib

import pytest

from nemo_client import local
from tests.local.plain_client import Api, draw_nothing
from tests.support.faults import Faults


@pytest.fixture
def start(tmp_path):
    """Opens backends on one directory, without any delay unless asked for."""
    with contextlib.ExitStack() as stack:

        def start(directory=tmp_path / "local", **options):
            given = {
                "pace": 0,
                "faults": Faults(),
                "renderer": draw_nothing,
                "missing_glyphs": lambda text: "",
                **options,
            }
            return stack.enter_context(local.open(directory, **given))

        yield start


@pytest.fixture
def connect():
    """Makes clients, and closes them."""
    with contextlib.ExitStack() as stack:

        def connect(backend, token=None, **headers):
            api = Api(backend, token, **headers)
            stack.enter_context(api.http)
            return api

        yield connect


@pytest.fixture
def api(start, connect):
    """A client of a free backend."""
    return connect(start())
