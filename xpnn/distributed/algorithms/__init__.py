"""What processes do with gradients besides their means."""

from xpnn.distributed.algorithms import ddp_comm_hooks as ddp_comm_hooks
