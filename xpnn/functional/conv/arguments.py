"""What convolution and transposed convolution check alike."""

from __future__ import annotations

from xpnn.backend import ArgumentError, Array, ShapeError
from xpnn.functional.arguments import check_floating, check_rank, check_same_dtype
from xpnn.functional.windows import check_axes, layout


def check_arrays(subject: str, axes: int, input: Array, weight: Array, bias: Array | None) -> None:
    """Ranks and element types."""
    check_axes(input, axes, subject)
    check_rank(weight, axes + 2, subject, "channels, channels, kernel", name="weight")
    for name, array in (("an input", input), ("a kernel", weight)):
        if 0 in array.shape[2:]:
            raise ShapeError(
                f"expects {name} of at least one cell along each axis, got shape {tuple(array.shape)}",
                subject=subject,
            )
    check_floating(input, subject, or_complex=True)
    check_same_dtype(subject, input, weight=weight, bias=bias)


def check_input_channels(subject: str, axes: int, input: Array, expected: int) -> None:
    """Raise a ShapeError unless the input has so many channels."""
    channels = input.shape[1]
    if channels != expected:
        raise ShapeError(
            f"expects {expected} input channels ({layout(axes)}), "
            f"got {channels} from an input of shape {tuple(input.shape)}",
            subject=subject,
            hint=f"Did you mean in_channels={channels}?",
        )


def check_groups(subject: str, groups: int, channels: int, which: str) -> None:
    """Raise an ArgumentError unless the groups divide the "input" or "output" channels."""
    if type(groups) is not int or groups < 1:
        raise ArgumentError(f"expects groups of at least 1, got {groups!r}", subject=subject)
    if channels % groups:
        raise ArgumentError(
            f"expects groups that divide the {channels} {which} channels, got groups={groups}",
            subject=subject,
        )
