"""The DataLoader and its functions under PyTorch's path."""

from __future__ import annotations

from xpnn.data import DataLoader as DataLoader
from xpnn.data import default_collate as default_collate
from xpnn.data import default_convert as default_convert
from xpnn.data import get_worker_info as get_worker_info
