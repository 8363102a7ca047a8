"""Networks as scikit-learn's estimators: in pipelines, grid searches and cross validation.

Importing this package needs scikit-learn: `pip install 'xpnn[sklearn]'`.
"""

from xpnn.sklearn.classifier import NeuralClassifier
from xpnn.sklearn.regressor import NeuralRegressor

__all__ = ["NeuralClassifier", "NeuralRegressor"]
