"""Several processes that train one network: over MPI, on one machine or many.

    mpiexec -n 4 python train.py        # or Slurm's `srun -n 4`, or `xpnn launch -n 4 train.py`

In the script `init()` joins the job, and `nn.parallel.DistributedDataParallel(model)` shares its gradients.
Names and arguments are those of `torch.distributed`.
"""

from xpnn.backend.processes import ProcessError as ProcessError
from xpnn.distributed import optim as optim
from xpnn.distributed.collectives import *
from xpnn.distributed.job import *
from xpnn.nn.parallel import DistributedDataParallel as DistributedDataParallel
