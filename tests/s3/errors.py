"""Errors of starting an S3 server."""

from tests.controlplane.errors import ControlPlaneError, ControlPlaneMissing

S3ServerError = ControlPlaneError
"""A step or a component failed; shared with the control plane, whose build code is used."""
S3ServerMissing = ControlPlaneMissing
"""There are no binaries and they cannot be downloaded; the message says what to do."""
