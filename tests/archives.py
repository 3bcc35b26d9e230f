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


def schema(data):
    """Return the tree of a file."""
    return json.loads(members(data)[SCHEMA])


def with_schema(data, tree):
    """Return the file with another tree."""
    return archive(members(data) | {SCHEMA: json.dumps(tree)})


def file_of(root, **parts):
    """Make a file of a tree of nodes."""
    return archive({SCHEMA: json.dumps(root | {"protocol": 2}), **parts})


# -- Nodes of a tree ------------------------------------------------------------------------------


def node(loader, name, **rest):
    """Make a node that names a type; those that are trusted by any name may be given any."""
    module, _, kind = name.rpartition(".")
    return {"__loader__": loader, "__module__": module, "__class__": kind, **rest}


def plain(value):
    """Make a node of a number or text."""
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


def sequence(*items, kind="tuple"):
    """Make a node of a tuple or list of nodes."""
    return node(f"{kind.capitalize()}Node", f"builtins.{kind}", content=list(items))


def mapping(key_types=None, **items):
    """Make a node of a dict of nodes; what is called for its keys may be given."""
    key_types = key_types or [node("TypeNode", "builtins.str") for _ in items]
    return node(
        "DictNode", "builtins.dict", content=items, key_types=sequence(*key_types, kind="list")
    )


def made(name, **attributes):
    """Make a node of an object with these attributes."""
    return node("ObjectNode", name, content=mapping(**attributes))


# -- What crafted files call ----------------------------------------------------------------------

CALLS = []


def payload(*args, **kwargs):
    """Note that it was called."""
    CALLS.append((args, kwargs))
