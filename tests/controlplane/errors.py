"""What can go wrong before a test has a control plane."""


class ControlPlaneError(Exception):
    """A step or a component failed; the message holds the command and the end of its log."""


class ControlPlaneMissing(ControlPlaneError):  # noqa: N818 - a state, not a mishap
    """There are no binaries and no way to make them; the message says what to set."""
