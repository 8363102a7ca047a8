"""A trained network as `xpnn train` left it: the network, its preprocessing and what its outputs mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpnn import models
from xpnn.backend import CheckpointError, expect_state
from xpnn.cli.dataset import AnyPreprocessing
from xpnn.cli.images import Preprocessing
from xpnn.cli.settings import Settings, is_table
from xpnn.cli.tables import RowPreprocessing
from xpnn.io import Checkpoint, read_checkpoint
from xpnn.nn import Module


@dataclass(frozen=True)
class Description:
    """What a run was about: kept in its checkpoints beside the weights.

    Attributes:
        settings: the options of the run.
        preprocessing: what turns an image into the network's input.
        classes: the names of its outputs.
    """

    settings: Settings
    preprocessing: AnyPreprocessing
    classes: tuple[str, ...]

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Description:
        """What a checkpoint says. Raises: CheckpointError if it is none of `xpnn train`."""
        config = checkpoint.config
        try:
            settings = Settings.from_config(config.get("settings"))
            kind = RowPreprocessing if is_table(settings.data) else Preprocessing
            preprocessing = kind.from_config(config.get("preprocessing"))
            numeric = isinstance(preprocessing, RowPreprocessing) and preprocessing.mean is not None
            expect_state(config, "xpnn train", classes=lambda names: _are_classes(names, 0 if numeric else 1))
            return cls(settings, preprocessing, tuple(config["classes"]))
        except CheckpointError as error:
            raise CheckpointError(
                f"does not say how its network is built ({error})",
                subject=f"'{checkpoint.path}'",
                hint="Use a checkpoint that `xpnn train` has written",
            ) from None

    def to_config(self) -> dict[str, Any]:
        """JSON-ready, for `save_checkpoint(config=...)`."""
        return {
            "settings": self.settings.to_config(),
            "preprocessing": self.preprocessing.to_config(),
            "classes": list(self.classes),
        }

    def build_model(self) -> Module:
        """The network, with new weights."""
        return models.create(
            self.settings.model,
            num_classes=len(self.classes) or 1,
            in_channels=self.preprocessing.in_channels,
            image_size=self.preprocessing.image_size,
            **self.settings.model_options(),
        )


def load_trained(path: str | Path) -> tuple[Module, Description]:
    """The network of a checkpoint, on the current backend and in evaluation mode, and what it is about.

    Raises: CheckpointError if the file is damaged or no checkpoint of `xpnn train`; FileNotFoundError.
    """
    checkpoint = read_checkpoint(path)
    description = Description.of(checkpoint)
    model = description.build_model()
    checkpoint.restore(model=model, random=False)
    return model.eval(), description


def _are_classes(value: Any, least: int) -> bool:
    return (
        isinstance(value, list)
        and (len(value) > 0) == (least > 0)
        and all(isinstance(name, str) for name in value)
    )
