"""What can go wrong before a test has an S3 server."""

from tests.controlplane.errors import ControlPlaneError, ControlPlaneMissing

S3ServerError = ControlPlaneError
"""A step or a component failed; the two kinds of server share what builds and runs them."""
S3ServerMissing = ControlPlaneMissing
"""There are no binaries and no way to get them; the message says what to do."""
