"""Measures of predictions: functions of arrays, and classes that gather them over batches on the device."""

from xpnn.metrics.classification import (
    accuracy,
    confusion_matrix,
    error,
    f1,
    precision,
    recall,
    top_k_accuracy,
)
from xpnn.metrics.streaming import F1, Accuracy, ConfusionMatrix, Mean, Metric, Precision, Recall

__all__ = [
    "F1",
    "Accuracy",
    "ConfusionMatrix",
    "Mean",
    "Metric",
    "Precision",
    "Recall",
    "accuracy",
    "confusion_matrix",
    "error",
    "f1",
    "precision",
    "recall",
    "top_k_accuracy",
]
