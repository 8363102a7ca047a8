"""Windows under the names and with the arguments of PyTorch's `torch.signal.windows`.

They are symmetric unless `sym=False`, which leaves out the last weight of a window that is one longer: for
transforms of what repeats itself.
"""

from xpnn.autograd.functions.signal_windows import *
