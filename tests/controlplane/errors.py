"""Errors of starting a control plane."""


class ControlPlaneError(Exception):
    """A step or a component failed; the message has the command and the end of its log."""


class ControlPlaneMissing(ControlPlaneError):  # noqa: N818 - tests are skipped
    """There are no binaries and they cannot be built; the message says what to set."""
