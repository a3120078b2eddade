"""What is raised by more than one room, and what is said of a training that diverged."""

from __future__ import annotations

DIVERGED = "the vector holds NaN or infinity: the training diverged; lower its learning rate"


class MalformedMessage(ValueError):  # noqa: N818  (a public name that reads as what it is)
    """The bytes are not a valid message for this model, scheme and reference."""
