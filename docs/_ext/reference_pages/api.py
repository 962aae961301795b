"""The HTTP API, from the OpenAPI description that the launcher itself serves."""

import json
from collections.abc import Iterator
from typing import Any

from .text import table

_HEAD = """# HTTP API

The command line and the Python API know the launcher by this API alone. Locally it is served on a Unix
socket that only you can open; over TCP each call carries `Authorization: Bearer TOKEN`
([another machine](../../howto/another-machine.md)). What an error looks like is on the page of
[error codes](errors.md).

```console
$ offload launcher start
…
$ curl -s --unix-socket "$OFFLOAD_HOME/run/launcher.sock" http://launcher/v1/healthz
…
```
"""
_METHODS = ("get", "head", "post", "put", "delete")


def page() -> str:
    """The page of the HTTP API."""
    description = openapi()
    return "\n".join([_HEAD, *(_section(*call) for call in _calls(description))])


def openapi() -> dict[str, Any]:
    """The description of the public API, as the launcher serves it."""
    raise NotImplementedError


def _calls(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, calls in description["paths"].items():
        for method in _METHODS:
            if method in calls:
                yield method.upper(), path, calls[method]


def _section(method: str, path: str, call: dict[str, Any]) -> str:
    parts = [f"## `{method} {path}`\n", call.get("summary", ""), call.get("description", "")]
    if parameters := call.get("parameters"):
        rows = [
            (f"`{item['name']}`", item["in"], _type(item["schema"]), item.get("description", ""))
            for item in parameters
        ]
        parts.append(table(("parameter", "in", "type", ""), rows))
    parts += [f"Body: {_content(body)}" for body in [call.get("requestBody")] if body]
    rows = [
        (status, answer.get("description", ""), _content(answer))
        for status, answer in call["responses"].items()
    ]
    parts.append(table(("status", "", "body"), rows))
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _content(holder: dict[str, Any]) -> str:
    described = []
    for kind, content in holder.get("content", {}).items():
        shape = _type(content.get("schema", {}))
        described.append(f"`{kind}`" + (f", {shape}" if shape else ""))
    return "; ".join(described)


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(filter(None, map(_type, schema["anyOf"])))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    return str(schema.get("type", ""))
