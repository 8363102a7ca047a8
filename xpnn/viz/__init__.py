"""Pictures of data, networks and runs.

Each `plot_...` and `draw_...` function returns a matplotlib Figure, and writes it to a file where it is given
a path, whose ending gives the format (PNG, SVG, PDF).
"""

from xpnn.viz.attribution import (
    grad_cam,
    plot_heatmaps,
    plot_receptive_field,
    receptive_field,
    saliency,
)
from xpnn.viz.classification import (
    plot_confusion_matrix,
    plot_decision_regions,
    plot_precision_recall,
    plot_roc,
)
from xpnn.viz.curves import learning_rates, plot_curves, plot_lr_finder, plot_runs, plot_schedules
from xpnn.viz.figures import save_confusion_matrix, save_curve, save_image_sheet
from xpnn.viz.graphs import draw_architecture, draw_graph
from xpnn.viz.images import make_grid, save_image
from xpnn.viz.layers import (
    activations,
    gradients,
    plot_attention,
    plot_feature_maps,
    plot_histograms,
    plot_weights,
)
from xpnn.viz.paths import optimizer_path, plot_optimizer_paths
from xpnn.viz.regression import plot_predictions
from xpnn.viz.sheets import plot_detections, plot_images

__all__ = [
    "activations",
    "draw_architecture",
    "draw_graph",
    "grad_cam",
    "gradients",
    "learning_rates",
    "make_grid",
    "optimizer_path",
    "plot_attention",
    "plot_confusion_matrix",
    "plot_curves",
    "plot_decision_regions",
    "plot_detections",
    "plot_feature_maps",
    "plot_heatmaps",
    "plot_histograms",
    "plot_images",
    "plot_lr_finder",
    "plot_optimizer_paths",
    "plot_precision_recall",
    "plot_predictions",
    "plot_receptive_field",
    "plot_roc",
    "plot_runs",
    "plot_schedules",
    "plot_weights",
    "receptive_field",
    "saliency",
    "save_confusion_matrix",
    "save_curve",
    "save_image",
    "save_image_sheet",
]
