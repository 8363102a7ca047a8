"""The data of a run in one place: how they are prepared, split, and loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from xpnn.data import DataLoader, IterableDataset
from xpnn.train.hyperparameters import KeepsHyperParameters

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class GivesData:
    """Where a run's data come from: a DataModule, or a TrainingModule that brings its own."""

    def prepare_data(self) -> None:
        """Download, unpack: what is done once and leaves files. Nothing is to be set on `self` here."""

    def setup(self, stage: str) -> None:
        """Read and split; `stage` is "fit", "validate", "test" or "predict"."""

    def teardown(self, stage: str) -> None:
        """Let go of what `setup` took."""

    def train_dataloader(self) -> Any:
        """The batches to train on."""
        raise NotImplementedError(f"{type(self).__name__} defines no train_dataloader()")

    def val_dataloader(self) -> Any:
        """The batches to validate on, or a list of several loaders."""
        raise NotImplementedError(f"{type(self).__name__} defines no val_dataloader()")

    def test_dataloader(self) -> Any:
        """The batches to test on."""
        raise NotImplementedError(f"{type(self).__name__} defines no test_dataloader()")

    def predict_dataloader(self) -> Any:
        """The batches to predict."""
        raise NotImplementedError(f"{type(self).__name__} defines no predict_dataloader()")


class DataModule(KeepsHyperParameters, GivesData):
    """What gives a Trainer its data; override what you need.

    `trainer.fit(model, datamodule=data)` calls `prepare_data()` and `setup("fit")`, then the loaders.

    Attributes:
        trainer: the Trainer that uses it, or None.

    >>> from xpnn.data import TensorDataset
    >>> class Numbers(DataModule):
    ...     def setup(self, stage):
    ...         self.numbers = TensorDataset([[1.0], [2.0]], [[2.0], [4.0]])
    ...     def train_dataloader(self):
    ...         return DataLoader(self.numbers, batch_size=2)
    >>> data = Numbers()
    >>> data.setup("fit")
    >>> len(data.train_dataloader())
    1
    """

    name: str | None = None
    trainer: Trainer | None = None

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        """The batch where the model is: a DataLoader gives it there already."""
        return batch

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch before the model is given it."""
        return batch

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch that is on the device: augmentation of whole batches."""
        return batch

    def on_exception(self, exception: BaseException) -> None:
        """After an error in the run."""

    def state_dict(self) -> dict[str, Any]:
        """What belongs into the checkpoints: JSON-ready, and arrays."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""

    @classmethod
    def from_datasets(
        cls,
        train_dataset: Any = None,
        val_dataset: Any = None,
        test_dataset: Any = None,
        predict_dataset: Any = None,
        batch_size: int = 1,
        num_workers: int | None = None,
        **options: Any,
    ) -> Self:
        """A data module of datasets, each given as one or as several of them.

        Args:
            train_dataset: is shuffled, where it has indices.
            val_dataset, test_dataset, predict_dataset: in their order.
            batch_size, num_workers, options: of the DataLoaders.

        >>> data = DataModule.from_datasets([[1.0], [2.0], [3.0]], batch_size=2)
        >>> len(data.train_dataloader())
        2
        """
        module = cls()

        def loaders(dataset: Any, shuffle: bool = False) -> Any:
            several = isinstance(dataset, list | tuple) and dataset and hasattr(dataset[0], "__getitem__")
            if several and isinstance(dataset[0], Iterable) and not isinstance(dataset[0], list | tuple):
                return [loaders(part, shuffle) for part in dataset]
            shuffled = shuffle and not isinstance(dataset, IterableDataset)
            return DataLoader(dataset, batch_size, shuffle=shuffled, num_workers=num_workers, **options)

        for stage, dataset in (
            ("train", train_dataset),
            ("val", val_dataset),
            ("test", test_dataset),
            ("predict", predict_dataset),
        ):
            if dataset is not None:
                give = _Giver(loaders, dataset, stage == "train")
                setattr(module, f"{stage}_dataloader", give)
        return module


class _Giver:
    """A method without arguments that makes the loaders of a dataset."""

    def __init__(self, loaders: Any, dataset: Any, shuffle: bool) -> None:
        self.loaders, self.dataset, self.shuffle = loaders, dataset, shuffle

    def __call__(self) -> Any:
        return self.loaders(self.dataset, self.shuffle)
