"""Boxes around things in images, and what is found in them."""

from xpnn.functional.vision.boxes import *
from xpnn.functional.vision.focal import *
from xpnn.functional.vision.overlaps import *
from xpnn.functional.vision.regions import *
from xpnn.functional.vision.suppression import *
