"""`xpnn.cuda`: what PyTorch programs ask of CUDA, answered for the current backend.

`is_available()` says whether `device="cuda"` can be asked of the current backend: never of NumPy, on a
machine with a GPU of CuPy, PyTorch and JAX. Where there is no GPU, what waits for one or frees its memory
does nothing.
"""

from xpnn.cuda import amp as amp
from xpnn.cuda.devices import *
