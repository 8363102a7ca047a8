"""Tables in CSV files on the command line: training, testing and predicting classes and numbers."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpnn.backend import DataError
from xpnn.cli import main
from xpnn.cli.settings import Settings
from xpnn.cli.tables import Column, load_table
from xpnn.data.csv_file import read_csv
from xpnn.io import read_checkpoint, save_checkpoint


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(path: str, rows: list[list[Any]], delimiter: str = ",") -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def flowers(count: int = 150) -> None:
    """Three kinds, told apart by two lengths; with missing cells, and the target in the middle."""
    random = np.random.default_rng(0)
    rows: list[list[Any]] = [["length", "kind", "width", "note", "colour"]]
    for i in range(count):
        kind = i % 3
        length = f"{random.normal(4 + 2 * kind, 0.3):.3f}" if i % 11 else "NA"
        rows.append([length, ["rose", "lily", "tulip"][kind], round(random.normal(kind, 0.2), 3), f"no. {i}",
                     ["red", "white", ""][i % 2 + i % 5 // 4]])  # fmt: skip
    write("flowers.csv", rows)


def houses(count: int = 300) -> None:
    random = np.random.default_rng(0)
    rows: list[list[Any]] = [["area", "town", "price"]]
    for _ in range(count):
        area, town = random.uniform(40, 200), random.integers(2)
        rows.append([f"{area:.2f}", ["Aix", "Bonn"][town], f"{1000 * area + 40000 * town:.0f}"])
    write("houses.csv", rows, ";")


def test_classes(capsys: pytest.CaptureFixture[str]) -> None:
    flowers()
    assert main(["train", "flowers.csv", "--target", "kind", "--epochs", "15"]) == 0
    said = capsys.readouterr().out
    assert "flowers.csv: 120 training and 30 test rows of 3 columns, 3 classes (kind)" in said
    assert "left out: column 'note' (150 different texts)" in said
    accuracy = float(re.search(r"test accuracy ([\d.]+) %", said)[1])
    assert accuracy > 95
    files = {path.name for path in Path("runs/flowers").iterdir()}
    assert {"model.safetensors", "curve.png", "confusion.png", "example.csv"} <= files
    commands = [shlex.split(line)[1:] for line in said.partition("Use it:")[2].strip().splitlines()]
    assert main(commands[0]) == 0
    assert f"test accuracy {accuracy:.1f} %" in capsys.readouterr().out
    assert main([*commands[1], "--json"]) == 0
    predicted = json.loads(capsys.readouterr().out)["predictions"]
    example = list(csv.DictReader(Path("runs/flowers/example.csv").read_text().splitlines()))
    right = [max(said["probabilities"], key=said["probabilities"].get) == row["kind"]
             for said, row in zip(predicted, example)]  # fmt: skip
    assert len(right) == 5
    assert sum(right) >= 4


def test_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    houses()
    assert main(["train", "houses.csv", "--epochs", "40", "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["test_r2"] > 0.98
    assert trained["test_mae"] <= trained["test_rmse"] < 8000
    assert "runs/houses/predictions.png" in trained["files"]
    checkpoint = "runs/houses/model.safetensors"
    assert main(["eval", checkpoint, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test_rmse"] == trained["test_rmse"]
    assert main(["eval", checkpoint, "--data", "houses.csv"]) == 0
    assert "houses.csv: 300 test rows\ntest error of price: RMSE" in capsys.readouterr().out
    write("new.csv", [["town", "area"], ["Bonn", 100], ["Cork", "?"]])  # another order, a new town, no price
    assert main(["predict", checkpoint, "new.csv"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"new.csv row 1: price [\d.]+", first)
    assert abs(float(first.split()[-1]) - 140_000) < 15_000
    assert second.startswith("new.csv row 2: price ")


def test_the_page_has_the_settings_of_a_table_alone() -> None:
    pytest.importorskip("matplotlib")
    houses(40)
    assert main(["train", "houses.csv", "--epochs", "1", "--quiet"]) == 0
    settings = (
        Path("runs/houses/report.html").read_text().partition("Settings</h2>")[2].partition("</section>")[0]
    )
    shown = dict(re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", settings))
    assert (shown["target"], shown["task"], shown["model"]) == ("price", "regression", "mlp")
    assert not {"size", "channels", "augment", "label_smoothing", "dropout"} & set(shown)


def test_a_run_is_the_same_again_and_goes_on_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    houses(100)
    run = ["train", "houses.csv", "--epochs", "4", "--hidden", "8, 4", "--dropout", "0.1", "--quiet", "--out"]
    assert main([*run, "a"]) == 0
    assert main([*run, "b", "--resume", "auto"]) == 0
    assert len(set(capsys.readouterr().out.splitlines())) == 1
    shapes = {
        name: array.shape for name, array in read_checkpoint("a/model.safetensors").states["model"].items()
    }
    assert sorted(shapes.values()) == [(1,), (1, 4), (4,), (4, 8), (8,), (8, 3)]


def test_only_training_rows_are_measured() -> None:
    write("t.csv", [["x", "y"], *([i, i % 7 + 0.5] for i in range(100))])
    settings = Settings.from_options({"data": "t.csv"})
    table = load_table(settings)
    preprocessing = table.fit(settings)
    x = np.arange(100.0)[table.train]
    assert preprocessing.columns == (Column("x", float(x.mean()), float(x.std())),)
    train, test = table.datasets(preprocessing, settings)
    assert (len(train), len(test)) == (80, 20)
    assert abs(float(np.mean(train[:][0]))) < 1e-6
    inner = table.held_out(0)
    assert (len(inner.train), len(inner.test)) == (64, 16)
    assert set(inner.train) | set(inner.test) == set(table.train)


def test_missing_values_and_categories() -> None:
    number = Column("n", mean=2.0, std=2.0, flagged=True)
    np.testing.assert_array_equal(number.encode(["4", "NA", " "[1:]]), [[1, 0], [0, 1], [0, 1]])
    word = Column("w", values=("a", "b"))
    np.testing.assert_array_equal(word.encode(["b", "", "c", "a"]), [[0, 1], [0, 0], [0, 0], [1, 0]])
    with pytest.raises(DataError, match="column 'n' expects numbers, got 'x'"):
        number.encode(["x"])


def test_what_is_a_class_and_what_a_number() -> None:
    def classes(target: list[Any], **options: Any) -> tuple[str, ...]:
        write("t.csv", [["x", "y"], *([i, value] for i, value in enumerate(target))])
        return load_table(Settings.from_options({"data": "t.csv", **options})).classes

    assert classes([0, 1, 10, 2] * 10) == ("0", "1", "2", "10")
    assert classes(["yes", "no"] * 10) == ("no", "yes")
    assert classes([0.5, 1, 2, 3] * 10) == ()
    assert classes(list(range(40))) == ()
    assert classes([0, 1] * 20, task="regression") == ()
    assert classes([0.5, 1.5] * 20, task="classification") == ("0.5", "1.5")


def test_a_search_over_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna")
    houses(120)
    Path("s.toml").write_text(
        'data = "houses.csv"\nepochs = 3\n[search]\ntrials = 3\n'
        '[search.space]\nhidden = ["8", "16,16"]\nlr = {log-uniform = [1e-3, 1e-2]}\n'
    )
    assert main(["search", "s.toml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {trial["state"] for trial in found["trials"]} <= {"done", "pruned"}
    assert main([*shlex.split(found["command"])[1:], "--quiet"]) == 0
    assert main(["train", "--config", "runs/search-s/best.toml", "--out", "again", "--quiet"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    assert main(["search", "s.toml", "--metric", "val_accuracy", "--out", "other"]) == 2
    assert "not measured where a number is predicted" in capsys.readouterr().err


FILES = {
    "short": "a,b\n1\n",
    "long": "a,b\n1,2\n1,2,3\n",
    "heading": "a,b\n",
    "twice": "a,a\n1,2\n",
    "one": "a\n1\n2\n",
    "latin": b"a,b\n\xe9,1\n",
    "null": "a,b\n1,\0\n",
    "onerow": "a,b\n1,x\n",
    "oneclass": "a,b\n" + "1,x\n" * 9,
    "ids": "a,b\n" + "".join(f"{i},name {i}\n" for i in range(9)),
    "texts": "a,b\n" + "".join(f"name {i},{i}.5\n" for i in range(99)),
    "good": "size,kind\n" + "1,x\n2,y\n" * 9,
}
MISTAKES = {
    "missing": (["train", "no.csv"], "there is no table 'no.csv'"),
    "short": (["train", "short.csv"], "'short.csv' has 1 cells in line 2, and 2 in its heading"),
    "long": (["train", "long.csv"], "'long.csv' has 3 cells in line 3"),
    "heading": (["train", "heading.csv"], "has no row below its heading"),
    "twice": (["train", "twice.csv"], "has two columns 'a'"),
    "one": (["train", "one.csv"], "has one column alone, 'a'"),
    "latin": (["train", "latin.csv"], "'latin.csv' is no CSV file in UTF-8"),
    "folder": (["train", "folder.csv"], "'folder.csv' is no file"),
    "one row": (["train", "onerow.csv"], "one class alone|too few"),
    "one class": (["train", "oneclass.csv"], "has one class alone, 'x'"),
    "ids": (["train", "ids.csv"], "--target expects a column of classes, got 9 different values in 9 rows"),
    "texts": (["train", "texts.csv"], "has no column to tell 'b' from"),
    "target": (
        ["train", "good.csv", "--target", "knid"],
        "--target expects a column .* Did you mean 'kind'?",
    ),
    "regression": (["train", "good.csv", "--task", "regression"], "--task regression expects .*, got 'x'"),
    "size": (["train", "good.csv", "--size", "8"], "--size is an option for images"),
    "image": (
        ["predict", "MODEL", "row.png"],
        "row.png is an image, and the network was trained on rows of a table. Give a CSV file of rows",
    ),
    "model": (["train", "good.csv", "--model", "resnet20"], "--model expects mlp for a table, got resnet20"),
    "augment": (["train", "good.csv", "--augment", "crop"], "--augment is an option for images"),
    "hidden": (["train", "good.csv", "--hidden", "8,x"], "--hidden expects sizes such as 64,64"),
    "task of images": (["train", "digits", "--task", "regression"], "--task is an option for tables"),
    "columns": (["predict", "MODEL", "short.csv", "--invert"], "--invert is an option for images"),
    "no column": (
        ["predict", "MODEL", "other.csv"],
        "'other.csv' has no column 'size'. Did you mean 'sizes'?",
    ),
    "no number": (["predict", "MODEL", "words.csv"], "column 'size' expects numbers, got 'tall'"),
    "class": (["eval", "MODEL", "--data", "classes.csv"], "column 'kind' has the class 'z'"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    (folder / "good.csv").write_text(FILES["good"])
    assert (
        main(["train", str(folder / "good.csv"), "--epochs", "1", "--out", str(folder / "run"), "--quiet"])
        == 0
    )
    return folder / "run" / "model.safetensors"


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(
    arguments: list[str], message: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in FILES.items():
        Path(f"{name}.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    Path("folder.csv").mkdir()
    Path("other.csv").write_text("sizes,b\n1,2\n")
    Path("words.csv").write_text("size,b\ntall,2\n")
    Path("classes.csv").write_text("size,kind\n1,z\n1,x\n2,z\n")
    assert main([argument.replace("MODEL", str(model)) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert re.search(message, said), said


def test_forged_tables(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = read_checkpoint(model)

    def forged(change: dict[str, Any], **column: Any) -> int:
        config = json.loads(json.dumps(checkpoint.config))
        config["preprocessing"].update(change)
        config["preprocessing"]["columns"] = change.get("columns", config["preprocessing"]["columns"])
        if column:
            config["preprocessing"]["columns"][0].update(column)

        class Kept:
            def state_dict(self) -> dict[str, Any]:
                return checkpoint.states["model"]

        save_checkpoint("forged.safetensors", config=config, random=False, model=Kept())
        return main(["predict", "forged.safetensors", "good.csv"])

    Path("good.csv").write_text(FILES["good"])
    assert forged({}) == 0
    capsys.readouterr()
    for change, column in [
        ({"columns": []}, {}),
        ({"columns": 3}, {}),
        ({"columns": [3]}, {}),
        ({"target": 3}, {}),
        ({"mean": 0.0}, {}),
        ({"std": 0.0, "mean": 0.0}, {}),
        ({}, {"std": 0}),
        ({}, {"std": None}),
        ({}, {"mean": "x"}),
        ({}, {"name": None}),
        ({}, {"flagged": 1}),
        ({}, {"values": "ab"}),
        ({}, {"values": ["x"] * 1000}),
    ]:
        assert forged(change, **column) == 2, (change, column)
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "does not say how its network is built" in said


def test_separators_quotes_and_a_byte_order_mark() -> None:
    Path("t.tsv").write_bytes(b'\xef\xbb\xbfa\t"b, c"\r\n1 \t"x\ty"\r\n\r\n2\t\xc3\xa9\r\n')
    assert read_csv("t.tsv") == {"a": ["1", "2"], "b, c": ["x\ty", "é"]}
