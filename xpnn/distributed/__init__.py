"""Several processes that train one network: over MPI, on one machine or many; between GPUs over NCCL.

    mpiexec -n 4 python train.py        # or Slurm's `srun -n 4`, or `xpnn launch -n 4 train.py`

In the script `init()` joins the job, and `nn.parallel.DistributedDataParallel(model)` shares its gradients.
Names and arguments are those of `torch.distributed`.
"""

from xpnn.backend import ProcessError as ProcessError
from xpnn.distributed import algorithms as algorithms
from xpnn.distributed import optim as optim
from xpnn.distributed.collectives import *
from xpnn.distributed.groups import *
from xpnn.distributed.job import *
from xpnn.distributed.membership import *
from xpnn.distributed.objects import *
from xpnn.distributed.point_to_point import *
from xpnn.distributed.work import *
from xpnn.nn.parallel import DistributedDataParallel as DistributedDataParallel
from xpnn.nn.parallel.bucket import GradBucket as GradBucket
