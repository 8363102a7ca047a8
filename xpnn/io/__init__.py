"""Files: arrays in the safetensors format, and checkpoints of whole runs."""

from xpnn.io.checkpoint import Checkpoint, load_checkpoint, read_checkpoint, save_checkpoint
from xpnn.io.files import atomic_write
from xpnn.io.locks import lock_folder
from xpnn.io.nested import load, save
from xpnn.io.safetensors import load_file, read_safetensors, save_file

__all__ = [
    "Checkpoint",
    "atomic_write",
    "load",
    "load_checkpoint",
    "load_file",
    "lock_folder",
    "read_checkpoint",
    "read_safetensors",
    "save",
    "save_checkpoint",
    "save_file",
]
