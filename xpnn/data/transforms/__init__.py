"""Transforms of images and labels, each for one sample and for a whole batch, on the host and on devices.

Images are channels-first: a sample is (C, H, W), a batch (N, C, H, W), a NumPy array, an array of any other
library, a Tensor, or a Pillow image. A transform of one's own is any callable on a sample; a subclass of
`Transform` that defines `batch` is fast in a DataLoader, too.
"""

from xpnn.data.transforms.base import *
from xpnn.data.transforms.colour import *
from xpnn.data.transforms.compose import *
from xpnn.data.transforms.conversion import *
from xpnn.data.transforms.cropping import *
from xpnn.data.transforms.erasing import *
from xpnn.data.transforms.filtering import *
from xpnn.data.transforms.geometry import *
from xpnn.data.transforms.mixing import *
from xpnn.data.transforms.policy import *
from xpnn.data.transforms.resizing import *
from xpnn.data.transforms.values import *
