import gzip
import sys

import numpy as np
import pandas as pd
import pytest

from sklearn_ae.comparison.tables import MAX_CATEGORIES, InputError, digits_table, read_table


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "width": rng.normal(size=30),
            "count": rng.integers(0, 9, size=30),
            "flag": rng.random(30) < 0.5,
            "colour": rng.choice(["red", "green, dark", "blue"], size=30),
            "label": rng.choice(["yes", "no"], size=30),
        }
    )


def write(frame, path, **params):
    if path.suffix in {".parquet", ".pq"}:
        frame.to_parquet(path)
    else:
        frame.to_csv(path, **{"index": False, **params})
    return path


def expected_columns(frame):
    return frame.drop(columns="label").astype(
        {"width": float, "count": float, "flag": float, "colour": str}
    )


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".CSV", ".parquet", ".pq"])
def test_every_format_gives_the_same_table(frame, tmp_path, suffix):
    table = read_table(write(frame, tmp_path / f"t{suffix}"), target="label")
    pd.testing.assert_frame_equal(table.X, expected_columns(frame), check_exact=False)
    assert table.y.tolist() == frame["label"].tolist()
    assert (table.name, table.target, table.notes) == (f"t{suffix}", "label", [])


@pytest.mark.parametrize(
    ("separator", "decimal"), [(",", "."), (";", "."), ("\t", "."), ("|", "."), (";", ",")]
)
def test_separator_and_decimal_mark_are_told(frame, tmp_path, separator, decimal):
    path = write(frame, tmp_path / "t.csv", sep=separator, decimal=decimal)
    table = read_table(path, target="label")
    pd.testing.assert_frame_equal(table.X, expected_columns(frame), check_exact=False)


def test_names_may_hold_separators_and_the_file_a_byte_order_mark(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('"a;b;c",x\n' + "1,2\n" * 5, encoding="utf-8-sig")
    assert read_table(path).X.columns.tolist() == ["a;b;c", "x"]


def test_one_column_needs_no_separator(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("only\n1.5\n2.5\n")
    assert read_table(path).X["only"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_incomplete_rows_are_left_out_and_counted(frame, tmp_path, suffix):
    frame = frame.astype({"flag": object})
    frame.loc[2, "width"] = np.nan
    frame.loc[3, "width"] = np.inf
    frame.loc[5, "flag"] = None
    frame.loc[5, "colour"] = None
    frame.loc[7, "label"] = None
    table = read_table(write(frame, tmp_path / f"t{suffix}"), target="label")
    complete = frame.drop(index=[2, 3, 5, 7]).reset_index(drop=True)
    pd.testing.assert_frame_equal(table.X, expected_columns(complete), check_exact=False)
    assert table.y.tolist() == complete["label"].tolist()
    assert table.notes == ["left out 4 of 30 rows, which have missing or infinite values"]


def test_nullable_numbers_become_plain_ones(tmp_path):
    frame = pd.DataFrame({"n": [1, None, 3], "b": [True, False, None], "x": [0.5, 1.5, 2.5]})
    frame = frame.astype({"n": "Int64", "b": "boolean"})
    table = read_table(write(frame, tmp_path / "t.parquet"))
    assert table.X.dtypes.tolist() == [float, float, float]
    assert table.X.to_numpy().tolist() == [[1.0, 1.0, 0.5]]


def test_columns_without_content_are_left_out_with_a_note(frame, tmp_path):
    frame.insert(0, "empty", np.nan)
    table = read_table(write(frame, tmp_path / "t.csv", index=True), target="label")
    assert table.X.columns.tolist() == ["width", "count", "flag", "colour"]
    assert table.notes == [
        "left out row index column Unnamed: 0",
        "left out empty column empty",
    ]


def test_dates_are_left_out_and_text_like_values_are_text(frame, tmp_path):
    frame["start"] = pd.Timestamp("2020-01-01")
    frame["list"] = [[1, 2]] * len(frame)
    table = read_table(write(frame, tmp_path / "t.parquet"), target="label")
    assert "start" not in table.X
    assert "left out date column start" in table.notes
    assert table.X["list"].map(type).eq(str).all()


def test_dropped_columns_cost_no_rows(frame, tmp_path):
    frame.loc[:20, "width"] = np.nan
    table = read_table(write(frame, tmp_path / "t.csv"), drop=["width"])
    assert len(table.X) == len(frame)
    assert "width" not in table.X
    assert table.y is None


def test_identifiers_are_pointed_out(tmp_path):
    n_rows = MAX_CATEGORIES + 1
    frame = pd.DataFrame({"id": [f"row {i}" for i in range(n_rows)], "x": np.arange(n_rows)})
    (note,) = read_table(write(frame, tmp_path / "t.csv")).notes
    assert "column id holds 101 different texts" in note
    assert not read_table(write(frame[1:], tmp_path / "t.csv")).notes


def test_a_missing_line_of_names_is_pointed_out(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("1.5,2\n" * 5)
    assert "is the line of names missing?" in read_table(path).notes[0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3], [1.0, 2.0, 3.0]),
        ([0.5, 1.5, 2.5], [0.5, 1.5, 2.5]),
        ([True, False, True], ["True", "False", "True"]),
        (["a", "b", "c"], ["a", "b", "c"]),
    ],
)
def test_targets_are_numbers_or_strings(tmp_path, values, expected):
    frame = pd.DataFrame({"x": [1, 2, 3], "y": values})
    y = read_table(write(frame, tmp_path / "t.csv"), target="y").y
    assert y.tolist() == expected
    assert y.dtype.kind in "fU"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("a,b\n", "no rows"),
        ("a,b\n,1\n2,\n", "every row of .* most of them in column 'a' \\(1 of 2\\)"),
        ("a,b\n1,2\n3,4,5,6\n", "cannot read .* line 3"),
        ("y\n1\n2\n", "no column to compress"),
    ],
)
def test_unusable_content_is_refused(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_table(path, target="y" if content.startswith("y") else None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"caf\xe9\n1\n", "not UTF-8"),
        ("t.csv.gz", b"no gzip", "cannot read"),
        ("t.csv.gz", gzip.compress(b"a\n1\n" * 99)[:-12], "cannot read"),
        ("t.csv.gz", gzip.compress(b"a\n1\n" * 99)[:10] + b"\xff" * 30, "cannot read"),
        ("t.parquet", b"no parquet", "cannot read"),
        ("t.xlsx", b"", "supported suffixes are .csv"),
    ],
    ids=["latin-1", "no gzip", "cut gzip", "broken gzip", "no parquet", "excel"],
)
def test_unreadable_files_are_refused_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_missing_files_and_directories_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a directory"):
        (tmp_path / "folder.csv").mkdir()
        read_table(tmp_path / "folder.csv")


def test_unknown_columns_bring_near_names(frame, tmp_path):
    path = write(frame, tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"no column 'Lable'; did you mean 'label'\?"):
        read_table(path, target="Lable")
    with pytest.raises(InputError, match="no column 'zzz'; its columns are 'width', 'count'"):
        read_table(path, drop=["zzz"])
    with pytest.raises(InputError, match="both the target and dropped"):
        read_table(path, target="label", drop=["label"])


def test_missing_pandas_says_what_to_install(frame, tmp_path, monkeypatch):
    path = write(frame, tmp_path / "t.csv")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r"pip install 'sklearn_ae\[cli\]'"):
        read_table(path)


def test_digits_need_no_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    table = digits_table()
    assert table.X.shape == (1797, 64)
    assert table.y is None
    assert len(np.unique(digits_table("digit").y)) == 10
