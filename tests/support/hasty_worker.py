"""Loaded by the workers of a test's cluster: the result of a message is looked for without long pauses."""

from nemo_client._studio import reconcile

reconcile.QUIET_SECONDS = 0.0  # type: ignore[misc]
reconcile.CONFIRM_SECONDS = 0.2  # type: ignore[misc]
reconcile.READ_SECONDS = 1.0  # type: ignore[misc]
