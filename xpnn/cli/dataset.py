"""The data of a run, whatever they are: images or rows of a table."""

from __future__ import annotations

from xpnn.cli.images import Images, Preprocessing, load_images
from xpnn.cli.settings import Settings, is_table
from xpnn.cli.tables import RowPreprocessing, Table, load_table

Data = Images | Table
AnyPreprocessing = Preprocessing | RowPreprocessing


def load_data(settings: Settings, download: bool = False) -> Data:
    """Open the data of a run (see `load_images` and `load_table`)."""
    return load_table(settings) if is_table(settings.data) else load_images(settings, download)
