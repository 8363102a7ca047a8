"""Measures, pictures, histograms, graphs and hyper-parameters in TensorBoard's files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xpnn.backend import DTypeError, is_array, optional_import, path_of, to_numpy
from xpnn.functional.arguments import check_flags
from xpnn.train.arguments import check_count, optional
from xpnn.train.loggers.base import Logger, plain


class TensorBoardLogger(Logger):
    """Writes what TensorBoard shows: `tensorboard --logdir FOLDER`. Needs tensorboardX.

    Args:
        save_dir, name, version, prefix: see `Logger`.
        log_graph: draw the module's graph for its `example_input_array` at the start.
        default_hp_metric: give the hyper-parameters a measure "hp_metric" of -1 where there is no other.
        sub_dir: a folder in that of the run, for the files.
        options: of tensorboardX's SummaryWriter.

    `logger.experiment` is the writer: `logger.experiment.add_image("sample", image, step)`.

    Raises: MissingDependencyError, when it first writes, without tensorboardX.
    """

    def __init__(
        self,
        save_dir: str | Path = ".",
        name: str | None = "logs",
        version: int | str | None = None,
        log_graph: bool = False,
        default_hp_metric: bool = True,
        prefix: str = "",
        sub_dir: str | Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(save_dir, name, version, prefix)
        check_flags("TensorBoardLogger", log_graph=log_graph, default_hp_metric=default_hp_metric)
        self.logs_graph = log_graph
        self.default_hp_metric = default_hp_metric
        self.sub_dir = optional(path_of, sub_dir, "sub_dir", "TensorBoardLogger")
        self.options = options
        self._writer: Any = None
        self._purge: int | None = None

    @property
    def log_dir(self) -> Path:
        """The folder of the run."""
        folder = super().log_dir
        return folder if self.sub_dir is None else folder / self.sub_dir

    @property
    def experiment(self) -> Any:
        """The SummaryWriter; its methods take Tensors through `to_numpy`, as those of this logger do."""
        if self._writer is None:
            kind = optional_import("tensorboardX", extra="tensorboard").SummaryWriter
            options = {} if self._purge is None else {"purge_step": self._purge}
            self._writer = kind(str(self.log_dir), **options, **self.options)
        return self._writer

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add a point to the curve of each measure."""
        for name, value in self._named(metrics).items():
            if not isinstance(value, int | float):
                raise DTypeError(
                    f"expects measures as numbers, got {value!r:.60} as '{name:.60}'",
                    subject=type(self).__name__,
                )
            self.experiment.add_scalar(name, value, step)

    def log_image(self, key: str, image: Any, step: int | None = None, dataformats: str = "CHW") -> None:
        """Add a picture: (C, H, W) in [0, 1], or of bytes."""
        self.experiment.add_image(key, _host(image), step, dataformats=dataformats)

    def log_histogram(self, key: str, values: Any, step: int | None = None) -> None:
        """Add the histogram of an array."""
        self.experiment.add_histogram(key, _host(values).reshape(-1), step)

    def log_hyperparams(self, params: Any, metrics: Mapping[str, Any] | None = None) -> None:
        """Add the run to the table of hyper-parameters; what is no number or string goes by its repr."""
        kept = {
            name: value if isinstance(value, bool | int | float | str) else repr(value)
            for name, value in plain(params).items()
        }
        if metrics is None:
            metrics = {"hp_metric": -1.0} if self.default_hp_metric else {}
        if kept:
            optional_import("tensorboardX", extra="tensorboard")
            experiment, ssi, end = _hparams(kept, dict(metrics))
            writer = self.experiment.file_writer
            for summary in (experiment, ssi, end):
                writer.add_summary(summary)
            for name, value in metrics.items():
                self.experiment.add_scalar(name, value, 0)

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Add the graph of a model's layers, with the shapes of what they return."""
        if not self.logs_graph:
            return
        example = model.example_input_array if input_array is None else input_array
        if example is not None:
            self.experiment.file_writer.add_onnx_graph(_graph(model, example))  # which adds any graph

    def resume(self, step: int, position: int | None = None) -> None:
        """Let TensorBoard drop what was written after a step."""
        self._purge = check_count(step, "step", type(self).__name__, -1) + 1

    def save(self) -> None:
        """Put on the disk what was written so far."""
        if self._writer is not None:
            self._writer.flush()

    def finalize(self, status: str) -> None:
        """Close the file; a further run opens another."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __getstate__(self) -> dict[str, Any]:
        """Copies open a file of their own."""
        return {**vars(self), "_writer": None}


def _hparams(params: dict[str, Any], metrics: dict[str, Any]) -> tuple[Any, Any, Any]:
    found: tuple[Any, Any, Any] = optional_import("tensorboardX.summary", extra="tensorboard").hparams(
        params, metrics
    )
    return found


def _graph(model: Any, example: Any) -> Any:
    """The layers of a model as TensorBoard's nodes, in the order in which they ran."""
    protos = "tensorboardX.proto"
    graph_def = optional_import(f"{protos}.graph_pb2", extra="tensorboard").GraphDef
    node_def = optional_import(f"{protos}.node_def_pb2", extra="tensorboard").NodeDef
    versions = optional_import(f"{protos}.versions_pb2", extra="tensorboard").VersionDef
    attr = optional_import(f"{protos}.attr_value_pb2", extra="tensorboard").AttrValue
    shape_proto = optional_import(f"{protos}.tensor_shape_pb2", extra="tensorboard").TensorShapeProto
    nodes = [node_def(name="input", op="Placeholder")]
    for path, kind, shape, sources in traced_layers(model, example):
        dims = [shape_proto.Dim(size=size) for size in shape]
        shapes = attr(list=attr.ListValue(shape=[shape_proto(dim=dims)]))
        nodes.append(
            node_def(name=path.replace(".", "/"), op=kind, input=sources, attr={"_output_shapes": shapes})
        )
    return graph_def(node=nodes, versions=versions(producer=22))


def traced_layers(model: Any, example: Any) -> list[tuple[str, str, tuple[int, ...], list[str]]]:
    """The layers without parts that ran for an input: path, class, shape of the result, sources.

    A source is the layer that made an input of this one; "input" where none of them did.
    """
    found: list[tuple[str, str, tuple[int, ...], list[str]]] = []
    makers: dict[int, str] = {}
    kept: list[Any] = []  # so that no identity is used twice
    handles = []

    def hook_for(path: str) -> Any:
        def hook(module: Any, args: tuple[Any, ...], output: Any) -> None:
            sources = [makers.get(id(arg), "") for arg in args if is_array(arg)]
            last = found[-1][0].replace(".", "/") if found else "input"
            first = output[0] if isinstance(output, tuple | list) else output
            sources = [source or last for source in sources]
            found.append((path, type(module).__name__, tuple(first.shape), list(dict.fromkeys(sources))))
            for result in output if isinstance(output, tuple | list) else (output,):
                makers[id(result)] = path.replace(".", "/")
                kept.append(result)

        return hook

    for path, module in model.named_modules():
        if path and not list(module.children()):
            handles.append(module.register_forward_hook(hook_for(path)))
    try:
        model(*example) if isinstance(example, tuple) else model(example)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _host(value: Any) -> Any:
    return to_numpy(value.detach() if hasattr(value, "detach") else value)
