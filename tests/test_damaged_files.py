"""Damaged files are refused with a message, or are read as if nothing were wrong with them."""

import copy
import io
import json
import pickle
import re
import traceback
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pytest
from archives import archive, members, tree_of, with_tree

import sklearn_ae
from sklearn_ae import SKOPS_TYPES, AutoencoderTransformer, DenoisingAutoencoderTransformer
from sklearn_ae._persistence.state import checksum

skops_io = pytest.importorskip("skops.io")
resource = pytest.importorskip("resource")  # not on Windows
UntrustedTypesFoundException = skops_io.exceptions.UntrustedTypesFoundException

X = np.random.default_rng(0).normal(size=(40, 6)) @ np.random.default_rng(1).normal(size=(6, 12))
PACKAGE = str(Path(sklearn_ae.__file__).parent)
# What reading may take beside what is taken before.
MOST_MEMORY = 2**30


def saved(cls, seed, **params):
    """Return an estimator and its file, of rows of its own."""
    params = {"hidden_layer_sizes": (4,), "max_iter": 1, "random_state": seed, **params}
    estimator = cls(1, early_stopping=False, **params).fit((1 + seed) * X)
    return estimator, skops_io.dumps(estimator)


@pytest.fixture(scope="module")
def files():
    """Return two files that are alike, and one that is not."""
    return [
        saved(AutoencoderTransformer, 0, init="random"),
        saved(AutoencoderTransformer, 1, init="random"),
        saved(DenoisingAutoencoderTransformer, 2),
    ]


@pytest.fixture
def little_memory():
    """Let the process have little more memory than it has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = Path("/proc/self/statm")  # of Linux
    if pages.exists():
        n_bytes = int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (n_bytes + MOST_MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


# -- Kinds of damage: each takes files and a generator --------------------------------------------


def cut(files, rng):
    return files[0][: rng.integers(len(files[0]))]


def overwritten(files, rng):
    data = bytearray(files[0])
    start = rng.integers(len(data) - 16)
    data[start : start + 16] = rng.bytes(16)
    return bytes(data)


def arrays_of(data):
    """Return the names of the arrays in a file, by their place in it."""
    return [name for name in members(data) if name.endswith(".npy")]


def swapped(files, rng):
    """Put an array of one file in place of one of another."""
    other = files[rng.integers(1, 3)]
    name, source = rng.choice(arrays_of(files[0])), rng.choice(arrays_of(other))
    return archive(members(files[0]) | {name: members(other)[source]})


def swapped_for_its_like(files, rng):
    """Put the same array of a file that is alike in its place: all shapes are right."""
    place = rng.integers(len(arrays_of(files[0])))
    source = members(files[1])[arrays_of(files[1])[place]]
    return archive(members(files[0]) | {arrays_of(files[0])[place]: source})


def with_array(data, name, change):
    """Change an array of a file."""
    buffer = io.BytesIO()
    np.save(buffer, change(np.load(io.BytesIO(members(data)[name]))))
    return archive(members(data) | {name: buffer.getvalue()})


def other_shape(files, rng):
    changes = [
        lambda a: a[..., None],
        lambda a: a.ravel()[:-1],
        lambda a: np.concatenate([a.ravel()] * 2),
        lambda a: a.T if a.ndim == 2 else a[None],
        lambda a: a.ravel()[:0],
        lambda a: np.broadcast_to(a, (3, *a.shape)),
    ]
    return with_array(files[0], rng.choice(arrays_of(files[0])), rng.choice(changes))


def other_type(files, rng):
    dtype = rng.choice(["f8", "f2", ">f4", "i4", "u2", "?", "c8", "U5", "S3", "M8[s]", "f16"])

    def change(array):
        # A number of each type, whatever it was.
        return np.zeros(array.shape, dtype) if dtype == "M8[s]" else array.astype(dtype)

    return with_array(files[0], rng.choice(arrays_of(files[0])), change)


def huge_shape(files, rng):
    """Declare many more numbers than there are, in as many bytes of a header."""
    name = rng.choice(arrays_of(files[0]))
    data = members(files[0])[name]
    head = int.from_bytes(data[8:10], "little")
    shape = tuple(int(10 ** rng.integers(1, 20)) for _ in range(rng.integers(1, 4)))
    header = repr({"descr": "<f4", "fortran_order": False, "shape": shape})
    header = header.ljust(head - 1)[: max(head - 1, len(header))] + "\n"
    start = data[:8] + len(header).to_bytes(2, "little") + header.encode()
    return archive(members(files[0]) | {name: start + data[10 + head :]})


OTHERS = (None, 0, -1, 3, 1e300, "", "text", "numpy", "float64", [], {}, [1], {"a": 1}, True)
CLASSES = ("DenoisingAutoencoderTransformer", "PCA", "OrderedDict", "int", "ndarray", "tuple")


def places(value, path=()):
    """Yield the paths of all that is in a tree."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))


def edit(tree, rng):
    """Delete, replace or rename something in a tree, in place."""
    found = list(places(tree))
    *path, key = found[rng.integers(len(found))]
    inner = tree
    for step in path:
        inner = inner[step]
    way = rng.integers(4)
    if way == 0:
        del inner[key]
    elif way == 1:
        inner[key] = OTHERS[rng.integers(len(OTHERS))]
    elif way == 2:
        other = found[rng.integers(len(found))]
        value = tree
        for step in other:
            value = value.get(step) if isinstance(value, dict) else value[step]
        inner[key] = json.loads(json.dumps(value))
    elif isinstance(inner, dict):
        inner[rng.choice(["__class__", "__module__", "__loader__"])] = str(rng.choice(CLASSES))
    else:
        inner.insert(key, OTHERS[rng.integers(len(OTHERS))])


def edited_tree(files, rng):
    tree = tree_of(files[0])
    for _ in range(rng.integers(1, 4)):
        edit(tree, rng)
    return with_tree(files[0], tree)


def edited_text(files, rng):
    """Edit the description of the network, or the attributes."""
    tree = tree_of(files[0])
    saved = tree["content"]["content"]["_saved"]["content"]
    node = saved[rng.choice(["network", "fitted"])]
    described = json.loads(json.loads(node["content"]))
    edit(described, rng)
    node["content"] = json.dumps(json.dumps(described))
    return with_tree(files[0], tree)


# How many files of each kind, and how many of them are refused at least.
KINDS = {
    cut: (60, 60),
    overwritten: (60, 50),
    swapped: (50, 45),
    swapped_for_its_like: (30, 10),
    other_shape: (50, 45),
    other_type: (50, 45),
    huge_shape: (50, 50),
    edited_tree: (110, 60),
    edited_text: (40, 35),
}
# What skops, and zipfile and numpy that it reads with, raise beside a ValueError.
SKOPS_ERRORS = (
    *(BadZipFile, EOFError, NotImplementedError, MemoryError, RecursionError),
    *(UntrustedTypesFoundException, LookupError, TypeError, AttributeError),
)
MESSAGES = r"(is damaged: .*|is not read from a file|cannot have|reads format|not fitted yet)"


def comes_from_us(error):
    """Tell whether an error comes through our code, or from skops alone."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(frame.filename.startswith(PACKAGE) for frame in frames)


@pytest.mark.parametrize("damage", KINDS, ids=lambda damage: damage.__name__)
def test_damage(damage, files, little_memory):
    codes = files[0][0].transform(X)
    rng = np.random.default_rng(0)
    n_files, least_refused = KINDS[damage]
    errors = []
    for _ in range(n_files):
        data = damage([data for _, data in files], rng)
        try:
            found = skops_io.loads(data, trusted=SKOPS_TYPES).transform(X)
        except Exception as error:
            errors.append(error)
        else:
            # Bytes that say nothing, such as a date; the same array; a parameter.
            np.testing.assert_array_equal(found, codes)
    for error in errors:
        if comes_from_us(error):
            assert isinstance(error, ValueError), repr(error)
            assert re.search(MESSAGES, str(error))
        else:
            assert isinstance(error, (ValueError, *SKOPS_ERRORS)), repr(error)
    assert len(errors) >= least_refused


@pytest.fixture(scope="module")
def ordered():
    """Return estimators of codes of several sizes: solved, whitened, PCA in part, PCA in all."""
    curve = np.linspace(-1, 1, 60)[:, None] ** np.arange(1, 7)
    rows = curve + 0.02 * np.random.default_rng(0).normal(size=curve.shape)
    params = {"hidden_layer_sizes": (4,), "max_iter": 1, "random_state": 0}
    fitted = [
        AutoencoderTransformer(3, early_stopping=False, **params),
        AutoencoderTransformer(2, max_components=5, whiten=True, **params),
        AutoencoderTransformer(3, **params | {"max_iter": 0, "hidden_layer_sizes": ()}),
        DenoisingAutoencoderTransformer(2, early_stopping=False, **params),
    ]
    return [estimator.fit(rows) for estimator in fitted], rows


def loaded_from(cls, state):
    """Make an estimator of a state whose checksum is put right; None where it is refused."""
    state["_saved"]["checksum"] = checksum(state["_saved"])
    loaded = object.__new__(cls)
    try:
        loaded.__setstate__(state)
    except ValueError as error:
        assert re.search(MESSAGES, str(error))
        return None
    return loaded


def with_edit(state, key, rng):
    """Edit a text of a saved state, in place."""
    described = json.loads(state["_saved"][key])
    edit(described, rng)
    state["_saved"][key] = json.dumps(described)
    return state


@pytest.mark.parametrize("key", ["network", "fitted"])
def test_texts_that_are_edited_with_their_checksum(key, ordered, little_memory):
    """They may give other codes, as a file of other weights does; they end nothing."""
    estimators, rows = ordered
    rng = np.random.default_rng(0)
    n_refused = 0
    for case in range(120):
        estimator = estimators[case % len(estimators)]
        state = with_edit(estimator.__getstate__(), key, rng)
        loaded = loaded_from(type(estimator), state)
        if loaded is None:
            n_refused += 1
            continue
        assert loaded.transform(rows).shape == (60, loaded.n_components_)
        assert loaded.components_.shape == (loaded.n_components_, 6)
        if loaded._is_ordered:
            assert loaded.explained_variance_ratio_.shape == (loaded.n_components_,)
            assert loaded.singular_values_.shape == (loaded.n_components_,)
            assert isinstance(loaded.noise_variance_, float)
            for size in range(1, len(loaded._sizes["is_pca"]) + 1):
                assert loaded.truncated(size).transform(rows).shape == (60, size)
    assert 40 <= n_refused < 115


@pytest.mark.parametrize("key", ["network", "fitted"])
@pytest.mark.parametrize("name", ["conv", "dense", "denoising", "pca"])
def test_texts_of_the_first_format_that_are_edited(name, key, little_memory):
    path = Path(__file__).resolve().parent / f"files/0.1.0.dev0/{name}.pickle"
    cls, state = state_of(path.read_bytes())
    with np.load(path.with_name("results.npz")) as results:
        rows = results["X"]
    rng = np.random.default_rng(0)
    assert loaded_from(cls, copy.deepcopy(state)) is not None
    n_refused = 0
    for _ in range(30):
        loaded = loaded_from(cls, with_edit(copy.deepcopy(state), key, rng))
        if loaded is None:
            n_refused += 1
        else:
            assert loaded.transform(rows).shape == (60, 2)
    assert 2 <= n_refused < 30


def test_the_first_format_makes_no_lists_as_long_as_a_file_says(little_memory):
    path = Path(__file__).resolve().parent / "files/0.1.0.dev0/dense.pickle"
    cls, state = state_of(path.read_bytes())
    for n_components in (10**12, 10**400, True, 0, 3):
        other = copy.deepcopy(state)
        described = json.loads(state["_saved"]["fitted"]) | {"n_components_": n_components}
        other["_saved"]["fitted"] = json.dumps(described)
        assert loaded_from(cls, other) is None
        # And as many columns, all of one unit.
        other["_saved"]["scaling"] = dict.fromkeys(other["_saved"]["scaling"], 1.0)
        other["_saved"]["fitted"] = json.dumps(described | {"n_features_in_": n_components})
        assert loaded_from(cls, other) is None


def state_of(data):
    """Return the class and the state of a pickled estimator, as they are in the file."""
    found = []

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            if name not in ("AutoencoderTransformer", "DenoisingAutoencoderTransformer"):
                return super().find_class(module, name)
            cls = super().find_class(module, name)
            return type(name, (cls,), {"__setstate__": lambda _, state: found.append((cls, state))})

    Reader(io.BytesIO(data)).load()
    return found[0]
