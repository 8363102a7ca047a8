"""Pictures: training curves, confusion matrices, sheets of images."""

from xpnn.viz.figures import save_confusion_matrix, save_curve, save_image_sheet
from xpnn.viz.images import make_grid, save_image

__all__ = ["make_grid", "save_confusion_matrix", "save_curve", "save_image", "save_image_sheet"]
