"""Which modules are text, and what a text cannot make of them."""

import json
import time
import warnings

import pytest
import torch
from torch import nn

from sklearn_ae import modules
from sklearn_ae._persistence import freeze, thaw
from sklearn_ae._persistence.modules import LAYERS

CPU = torch.device("cpu")


class Users(nn.Module):
    """A module of a user."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("mean", torch.ones(2))

    def forward(self, x):
        return self.layer(x) - self.mean


def thaw_changed(module, change):
    """Thaw a module whose description was changed."""
    text, arrays, objects = freeze(module)
    described = json.loads(text)
    change(described)
    return thaw((json.dumps(described), arrays, objects), CPU)


# -- Which modules --------------------------------------------------------------------------------

ARGUMENTS = {
    "Unflatten": (1, (2, 2)),
    "Linear": (4, 3),
    "NonDynamicallyQuantizableLinear": (4, 3),
    "Conv1d": (4, 3, 2),
    "Conv2d": (4, 3, 2),
    "ConvTranspose1d": (4, 3, 2),
    "ConvTranspose2d": (4, 3, 2),
    "Upsample": (None, 2),
    "GroupNorm": (2, 4),
    "MultiheadAttention": (4, 2),
    "TransformerEncoderLayer": (4, 2, 8, 0.0, nn.GELU()),
}
SHAPES = {"1d": (4, 4), "2d": (4, 4, 4), "Upsample": (4, 4), "TransformerEncoderLayer": (4, 4)}


def make(cls):
    """Make a layer for four columns, channels or tokens."""
    name = cls.__name__
    sized = "Norm" in name or "Pool" in name or "Pad" in name
    return cls(*ARGUMENTS.get(name, (4,) if sized else ())).eval()


def run(layer, n_rows):
    """Apply it to so many rows."""
    name = type(layer).__name__
    shape = SHAPES.get(name, (4,) if name == "BatchNorm1d" else SHAPES.get(name[-2:], (4,)))
    x = torch.linspace(0.1, 1, 4).repeat(n_rows, *shape[:-1], 1)
    if isinstance(layer, nn.MultiheadAttention):
        return layer(x, x, x)[0]
    return layer(x, x) if name.endswith("Loss") else layer(x)


@pytest.mark.parametrize("name", [n for n in LAYERS if "ModuleList" not in n and "Dict" not in n])
def test_listed_layers_are_text_and_take_no_rows(name):
    layer = make(LAYERS[name])
    text, _, objects = freeze(layer)
    assert json.loads(text)["class"] == name
    assert not objects
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Implicit dimension choice", UserWarning)
        thawed = thaw(freeze(layer), CPU)
        torch.testing.assert_close(run(thawed, 3), run(layer, 3), rtol=0, atol=0)
        one, none = run(layer, 1), run(layer, 0)
        if not name.endswith("Loss"):
            assert none.shape[:1] + none.shape[1:] == (0, *one.shape[1:])


def test_layers_are_named_as_pickle_names_them():
    for name, cls in LAYERS.items():
        assert name == f"{cls.__module__}:{cls.__qualname__}"


def test_only_what_is_the_users_is_an_object():
    users = Users()
    module = nn.ModuleList([nn.Sequential(users, nn.Linear(2, 2)), users, users.layer])
    text, arrays, objects = freeze(module)
    assert [type(top) for top in objects] == [Users, nn.Linear]
    assert objects[1] is objects[0].layer
    assert not any(torch.is_tensor(v) for v in [*vars(objects[0]).values()])
    assert len(arrays) == 5
    thawed = thaw((text, arrays, objects), CPU)
    assert thawed[0][0] is thawed[1]
    assert thawed[2] is thawed[1].layer
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(thawed[0](x), module[0](x), rtol=0, atol=0)
    # What was read may be read again.
    assert thaw((text, arrays, objects), CPU)[1] is not thawed[1]


def test_modules_with_attributes_that_are_no_plain_data_are_objects():
    layer = nn.Linear(2, 2)
    layer.made_by = object
    text, _, objects = freeze(layer)
    assert json.loads(text) == {"object": 0}
    assert objects[0].made_by is object


@pytest.mark.parametrize("hook", ["register_forward_hook", "register_forward_pre_hook"])
def test_modules_with_hooks_are_objects(hook):
    layer = nn.Linear(2, 2)
    getattr(layer, hook)(print)
    assert freeze(nn.Sequential(layer, nn.Linear(2, 2)))[2]


# -- Names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "nothing:at_all",
        "builtins:eval",
        "torch.nn.modules.linear:init",
        "torch.nn.modules.linear:LazyLinear",
        "torch.nn.modules.module:Module",
        "torch.nn:Linear",
        "sklearn_ae._base:torch",
        "sklearn_ae.onnx:_needed",
        "sklearn_ae.modules:Corrected",
        "sklearn_ae.modules.corrected:nn",
        "sklearn_ae.modules.hidden:Corrected",
        "sklearn_ae.modules.dense:dense",
        "sklearn_ae.modules.nothing:Corrected",
        "sklearn_ae.losses:nn",
        "sklearn_ae.losses:SquaredError.__init__",
        "sklearn_ae.modules.corrected",
        "",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match=f"names '{name}', which is not read from a file"):
        rename(name)


@pytest.mark.parametrize("name", [None, 3, ["torch.nn.modules.linear:Linear"], {}])
def test_names_that_are_none(name):
    with pytest.raises(ValueError, match="The saved network is damaged"):
        rename(name)


def rename(name):
    """Thaw a layer by another name."""
    layers = nn.Sequential(nn.Linear(2, 2))
    return thaw_changed(layers, lambda described: described["modules"]["0"].update({"class": name}))


def test_what_a_file_of_ours_imports_is_there():
    """Else the refusals above would show nothing."""
    assert modules.hidden.Corrected is modules.Corrected
    assert modules.corrected.nn is nn


@pytest.mark.parametrize(
    "attributes",
    [
        "forward",
        "_forward_hooks",
        "_parameters",
        "_compiled_call_impl",
        "__deepcopy__",
        "__class__",
    ],
)
def test_attributes_replace_neither_methods_nor_hooks(attributes):
    with pytest.raises(ValueError, match="has attributes that Linear cannot have"):
        thaw_changed(nn.Linear(2, 2), lambda d: d["attributes"].update({attributes: {}}))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("parameters", "forward"),
        ("parameters", "in_features"),
        ("parameters", "a.b"),
        ("buffers", "weight"),
        ("buffers", ""),
        ("modules", "forward"),
        ("modules", "bias"),
        ("modules", "a.b"),
    ],
)
def test_tensors_and_parts_replace_nothing(kind, name):
    value = None if kind == "modules" else 0
    with pytest.raises(ValueError, match="The saved network is damaged"):
        thaw_changed(nn.Linear(2, 2), lambda d: d[kind].update({name: value}))


# -- Damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("modules"),
        lambda d: d.pop("class"),
        lambda d: d.update(attributes=3),
        lambda d: d["modules"].update({"0": {"again": -1}}),
        lambda d: d["modules"].update({"0": {"again": 99}}),
        lambda d: d["modules"].update({"0": {"again": True}}),
        lambda d: d["modules"].update({"0": {"object": 0}}),
        lambda d: d["modules"].update({"0": [1]}),
        lambda d: d["modules"]["0"]["parameters"].update(weight=2),
        lambda d: d["modules"]["0"]["parameters"].update(weight=-1),
        lambda d: d["modules"]["0"]["parameters"].update(weight=0.0),
        lambda d: d["modules"]["0"]["parameters"].update(bias=0.0),
        lambda d: d["modules"]["0"]["parameters"].update(bias=False),
        lambda d: d["modules"]["0"]["parameters"].update(weight=[0]),
    ],
)
def test_missing_and_wrong_parts(change):
    with pytest.raises(ValueError, match="The saved network is damaged"):
        thaw_changed(nn.Sequential(nn.Linear(2, 2)), change)


def test_a_part_of_itself():
    with pytest.raises(ValueError, match="a part of it contains itself"):
        thaw_changed(nn.Sequential(nn.ReLU()), lambda d: d["modules"].update({"0": {"again": 0}}))


def test_parts_that_hold_each_other_twice_take_no_time():
    """Gone through in full, these are 2 ** 60 modules."""
    module = nn.Identity()
    for _ in range(60):
        module = nn.Sequential(module, nn.Sequential(module))
    start = time.perf_counter()
    with pytest.raises(ValueError, match="too many parts"):
        thaw(freeze(module), CPU)
    assert time.perf_counter() - start < 2


def test_parts_in_one_another():
    module = nn.Identity()
    for _ in range(200):
        module = nn.Sequential(module)
    with pytest.raises(ValueError, match="too many parts"):
        thaw(freeze(module), CPU)


@pytest.mark.parametrize("text", ["", "[" * 10**5, "3", "[]", None])
def test_no_description(text):
    with pytest.raises(ValueError, match="The saved network is damaged"):
        thaw((text, [], []), CPU)


@pytest.mark.parametrize("found", [[1.0], None, "weights", torch.ones(1)])
def test_arrays_that_are_none(found):
    text, arrays, objects = freeze(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="in place of an array"):
        thaw((text, [found, *arrays[1:]], objects), CPU)


@pytest.mark.parametrize("dtype", [object, "U3", "datetime64[s]", "i1,f4", int])
def test_arrays_of_other_types(dtype):
    text, arrays, objects = freeze(nn.Linear(2, 2))
    arrays[0] = arrays[0].astype(int).astype(dtype)
    with pytest.raises(ValueError, match="The saved network is damaged"):
        thaw((text, arrays, objects), CPU)


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.bool]
)
def test_dtypes_come_back(dtype):
    """With their bits: numpy does not have all of them."""
    layer = nn.BatchNorm1d(3)
    layer.running_mean, layer.num_batches_tracked = (
        torch.arange(3).to(dtype),
        torch.tensor(2).to(dtype),
    )
    values = torch.tensor([1.5, -0.0, float("inf")])
    layer.weight = nn.Parameter(values.to(dtype if dtype.is_floating_point else torch.float32))
    expected = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    thawed = thaw(freeze(layer), CPU).state_dict()
    for name, tensor in expected.items():
        torch.testing.assert_close(thawed[name], tensor, rtol=0, atol=0)
        assert thawed[name].dtype == tensor.dtype
    with torch.no_grad():
        layer.weight.zero_()
    assert thawed["weight"][0] == 1.5
