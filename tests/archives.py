"""Files of skops taken apart, changed and put together, for the tests of what is not read."""

import io
import json
from zipfile import ZipFile

SCHEMA = "schema.json"


def members(data):
    """Return what a file holds, by name."""
    with ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def archive(parts):
    """Make a file of its members."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as file:
        for name, value in parts.items():
            file.writestr(name, value)
    return buffer.getvalue()


def tree_of(data):
    """Return the tree of a file."""
    return json.loads(members(data)[SCHEMA])


def with_tree(data, tree, **more):
    """Return the file with another tree, and perhaps more members."""
    return archive(members(data) | more | {SCHEMA: json.dumps(tree)})


def file_of(tree, **more):
    """Make a file of a tree of nodes."""
    return archive({SCHEMA: json.dumps(tree | {"protocol": 2}), **more})


# -- Nodes of a tree ------------------------------------------------------------------------------


def node(loader, name, **rest):
    """Make a node: the name is what skops looks up and checks, the loader what is done with it."""
    module, _, kind = name.rpartition(".")
    return {"__loader__": f"{loader}Node", "__module__": module, "__class__": kind, **rest}


def plain(value):
    """Make a node of a number or text."""
    return node("Json", "builtins.str", content=json.dumps(value), is_json=True)


def sequence(kind, *items):
    """Make a node of a tuple or list of nodes."""
    return node(kind.capitalize(), f"builtins.{kind}", content=list(items))


def mapping(key_types=None, /, **items):
    """Make a node of a dict of nodes, and of what is called to make a key of each."""
    key_types = key_types or [node("Type", "builtins.str") for _ in items]
    key_types = sequence("list", *key_types)
    return node("Dict", "builtins.dict", content=items, key_types=key_types)


def instance(name, **attributes):
    """Make a node of an object with these attributes."""
    return node("Object", name, content=mapping(**attributes))


def applied(name, function, *args):
    """Make a node of a partial function; skops takes it for one of the type that it names."""
    nothing = mapping()
    parts = {"func": function, "args": sequence("tuple", *args), "kwds": nothing}
    return node("Partial", name, content=parts | {"namespace": nothing})


# -- What a crafted file calls --------------------------------------------------------------------

calls: list = []


def payload(*args):
    """Note that it was called."""
    calls.append(args)
