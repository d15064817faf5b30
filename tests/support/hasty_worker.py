"""Loaded by the workers of a test's cluster: the result of a message is looked for without long pauses."""

from nemo_client._config.timings import use_timings
from tests.support.timings import make_timings

SHORT = use_timings(make_timings(studio={"quiet": 0.0, "confirm": 0.2, "next_read": 1.0}))
SHORT.__enter__()  # for as long as the worker lives
