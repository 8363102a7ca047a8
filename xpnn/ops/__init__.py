"""Boxes and regions of images, under the names and with the arguments of `torchvision.ops`."""

from xpnn.functional.vision import *
