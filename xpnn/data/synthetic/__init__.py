"""Generated data: made from a seed in moments, for examples, tests and first experiments."""

from xpnn.data.synthetic.points import blobs, circles, moons, spirals, xor
from xpnn.data.synthetic.sequences import SequencePairs, copy_task, date_strings, reverse_task
from xpnn.data.synthetic.shapes import SHAPES, moving_shapes, shapes
from xpnn.data.synthetic.strokes import digit_strips, stroke_digits

__all__ = [
    "SHAPES",
    "SequencePairs",
    "blobs",
    "circles",
    "copy_task",
    "date_strings",
    "digit_strips",
    "moons",
    "moving_shapes",
    "reverse_task",
    "shapes",
    "spirals",
    "stroke_digits",
    "xor",
]
