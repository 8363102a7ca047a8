"""The estimators of xpnn.sklearn, held by scikit-learn's own checks and by what its users do with them."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.backend import ArgumentError, ShapeError

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_iris, make_regression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from xpnn.sklearn import NeuralClassifier, NeuralRegressor
from xpnn.train import EarlyStopping

QUICK = {"epochs": 20, "lr": 0.02}


@pytest.fixture(scope="module")
def iris() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.mark.parametrize("kind", [NeuralClassifier, NeuralRegressor])
def test_the_checks_of_scikit_learn(kind: type) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks ask for some, and those that need pandas may be skipped
        results = check_estimator(kind(**QUICK), on_fail="raise")
    assert sum(result["status"] == "passed" for result in results) > 50


def network(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, outputs))


@pytest.mark.parametrize(
    "module",
    [[16], network, partial(network, 4, 3), nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.Linear(16, 3))],
    ids=["sizes", "factory", "factory of nothing", "lazy module"],
)
def test_classifier(module: Any, iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    classifier = NeuralClassifier(module, random_state=0, **QUICK).fit(X, y)
    assert classifier.score(X, y) > 0.9
    probabilities = classifier.predict_proba(X[:5])
    assert probabilities.shape == (5, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(classifier.classes_[probabilities.argmax(1)], classifier.predict(X[:5]))
    assert classifier.history_["epoch"] == [*range(1, 21)]
    assert classifier.history_["accuracy"][-1] > 0.9


def test_a_module_that_was_given_is_copied(iris: tuple[np.ndarray, np.ndarray]) -> None:
    module = network(4, 3)
    before = module[0].weight.array.copy()
    classifier = NeuralClassifier(module, epochs=1, random_state=0).fit(*iris)
    np.testing.assert_array_equal(module[0].weight.array, before)
    assert (classifier.module_[0].weight.array != before).any()
    assert not classifier.module_.training


def test_the_element_type_of_X_is_that_of_the_layers(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    for dtype in ("float32", "float64"):
        classifier = NeuralClassifier([3], epochs=1).fit(X.astype(dtype), y)
        assert classifier.predict_proba(X.astype(dtype)).dtype == dtype
    module = NeuralClassifier(network, epochs=1).fit(X, y)
    assert module.predict_proba(X).dtype == "float32"


@pytest.mark.parametrize("form", [xpnn.tensor, np.asarray, list], ids=["Tensor", "NumPy", "list"])
def test_images_and_arrays_of_other_libraries(form: Callable[[Any], Any]) -> None:
    X = np.random.default_rng(0).normal(size=(12, 1, 6, 6)).astype("float32")
    X[6:] += 2
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    classifier = NeuralClassifier(module, random_state=0, **QUICK).fit(form(X), form([0] * 6 + [1] * 6))
    assert classifier.score(form(X), [0] * 6 + [1] * 6) == 1.0


@pytest.mark.parametrize("targets", [1, 2])
def test_regressor(targets: int) -> None:
    X, y = make_regression(120, 5, n_informative=3, n_targets=targets, noise=0.1, random_state=0)
    y = y / y.std()
    regressor = NeuralRegressor([32], random_state=0, epochs=60, lr=0.02).fit(X, y)
    assert regressor.predict(X).shape == y.shape
    assert regressor.score(X, y) > 0.9


def test_a_network_may_drop_the_axis_of_a_single_output() -> None:
    X, y = make_regression(40, 3, random_state=0)
    module = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0))
    regressor = NeuralRegressor(module, loss="smooth_l1_loss", epochs=2).fit(X, y)
    assert regressor.predict(X).shape == (40,)


def test_pipelines_grid_search_and_cross_validation(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), NeuralClassifier(random_state=0, **QUICK))
    grid = {"neuralclassifier__module": [[4], [16]], "neuralclassifier__lr": [1e-5, 0.02]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert search.best_params_["neuralclassifier__lr"] == 0.02
    assert search.best_score_ > 0.85
    assert cross_val_score(NeuralClassifier(nn.Linear(4, 3), random_state=0, **QUICK), X, y, cv=3).min() > 0.7


def test_clone_and_pickle(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    classifier = NeuralClassifier(
        nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 3)),
        optimizer=partial(optim.SGD, momentum=0.9),
        schedule=partial(optim.lr_scheduler.StepLR, step_size=2),
        epochs=2,
        random_state=3,
    ).fit(X, y)
    copy = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(copy.predict_proba(X), classifier.predict_proba(X))
    again = clone(classifier)
    assert not hasattr(again, "module_")
    np.testing.assert_array_equal(again.fit(X, y).predict_proba(X), classifier.predict_proba(X))
    for one in (classifier, copy):  # the optimizer's state has come along, and trains the copy's network
        one.partial_fit(X, y)
    np.testing.assert_array_equal(copy.predict_proba(X), classifier.predict_proba(X))


def test_partial_fit_and_warm_start(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    classifier = NeuralClassifier([16], random_state=0, lr=0.02)
    with pytest.raises(ArgumentError, match="all classes at the first call"):
        classifier.partial_fit(X[:50], y[:50])
    for _ in range(20):
        for part in (slice(0, 150, 2), slice(1, 150, 2)):
            classifier.partial_fit(X[part], y[part], classes=["virginica", "setosa", "versicolor"])
    assert classifier.score(X, y) > 0.9
    assert classifier.history_["epoch"] == [*range(1, 41)]
    with pytest.raises(ArgumentError, match=r"labels among the classes .* got \['rose'\]"):
        classifier.partial_fit(X[:1], ["rose"])

    warm = NeuralClassifier([16], random_state=0, lr=0.02, epochs=3, warm_start=True).fit(X, y)
    first = warm.module_
    assert warm.fit(X, y).module_ is first
    assert len(warm.history_["epoch"]) == 6
    with pytest.raises(ArgumentError, match="classes of the last fit"):
        warm.fit(X[:100], y[:100])


def test_weights(iris: tuple[np.ndarray, np.ndarray]) -> None:
    """A weight of 2 is a sample twice; classes have theirs, and balanced ones make a rare class count."""
    X, y = iris
    options: dict[str, Any] = {"module": [8], "random_state": 0, "batch_size": 500, **QUICK}
    twice = NeuralClassifier(**options).fit(np.r_[X, X[:50]], np.r_[y, y[:50]])
    weighted = NeuralClassifier(**options).fit(X, y, sample_weight=[2.0] * 50 + [1.0] * 100)
    by_class = NeuralClassifier(class_weight={"setosa": 2}, **options).fit(X, y)
    np.testing.assert_allclose(weighted.predict_proba(X), twice.predict_proba(X), rtol=1e-6)
    np.testing.assert_allclose(by_class.predict_proba(X), twice.predict_proba(X), rtol=1e-6)

    rare = np.r_[np.zeros(95), np.ones(5)]
    same = np.zeros((100, 1))  # nothing to learn but how frequent the classes are
    balanced = NeuralClassifier(class_weight="balanced", random_state=0, **QUICK).fit(same, rare)
    np.testing.assert_allclose(balanced.predict_proba(same[:1]), [[0.5, 0.5]], atol=0.1)
    for bad in ([-1.0] + [1.0] * 149, [1.0] * 3, [0.0] * 150):
        with pytest.raises(ValueError, match="weight"):
            NeuralClassifier(**options).fit(X, y, sample_weight=bad)


def test_early_stopping(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = iris
    stopping = EarlyStopping("val_accuracy", patience=3)
    classifier = NeuralClassifier([16], epochs=200, lr=0.02, early_stopping=stopping, random_state=0).fit(
        X, y
    )
    accuracy = classifier.history_["val_accuracy"]
    assert len(accuracy) < 200
    assert max(accuracy) not in accuracy[-3:]
    assert stopping.best.value is None  # the copy was used
    usual = NeuralClassifier([4], epochs=2, early_stopping=True, validation_fraction=0.3).fit(X, y)
    assert len(usual.history_["val_loss"]) == 2


@pytest.mark.parametrize("name", ["torch", "jax", "array_api_strict"])
def test_other_libraries(name: str, iris: tuple[np.ndarray, np.ndarray]) -> None:
    if name not in xpnn.available_backends():
        pytest.skip(f"{name} is not installed")
    X, y = iris[0].astype("float32"), iris[1]
    with xpnn.use_backend(name):
        classifier = NeuralClassifier([8], random_state=0, epochs=5, lr=0.02).fit(X, y)
    expected = NeuralClassifier([8], random_state=0, epochs=5, lr=0.02).fit(X, y)
    found = classifier.predict_proba(X)  # outside of the block: the network is still where it was
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, expected.predict_proba(X), rtol=1e-2, atol=1e-4)


def test_other_random_numbers_go_on_as_without(iris: tuple[np.ndarray, np.ndarray]) -> None:
    xpnn.manual_seed(3)
    expected = xpnn.rand(3).tolist()
    xpnn.manual_seed(3)
    NeuralClassifier([4], epochs=1).fit(*iris)
    assert xpnn.rand(3).tolist() == expected


def test_verbose_shows_progress(
    iris: tuple[np.ndarray, np.ndarray], capfd: pytest.CaptureFixture[str]
) -> None:
    NeuralClassifier([4], epochs=1).fit(*iris)
    assert not capfd.readouterr().err
    NeuralClassifier([4], epochs=1, verbose=1).fit(*iris)
    assert "accuracy" in capfd.readouterr().err


def test_mistakes_are_named(iris: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ShapeError, match=r"\(N, 3\), a score for each class.*got \(1, 2\)"):
        NeuralClassifier(nn.Linear(4, 2)).fit(*iris)
    with pytest.raises(ArgumentError, match="module to make a Module, got int"):
        NeuralClassifier(lambda: 3).fit(*iris)
    with pytest.raises(ArgumentError, match="reduction="):
        NeuralClassifier([2], loss=nn.CrossEntropyLoss()).fit(*iris)
    with pytest.raises(ArgumentError, match="Did you mean 'Adam'"):
        NeuralClassifier([2], optimizer="adan").fit(*iris)
    with pytest.raises(ArgumentError, match="balanced"):
        NeuralClassifier([2], class_weight="balanced").partial_fit(*iris, classes=np.unique(iris[1]))
