"""The HTTP API, from the OpenAPI description that the launcher itself serves."""

import json
from collections.abc import Iterator
from typing import Any

from offload.server.app import api_of

from .shapes import SHAPES
from .text import table

_HEAD = """# HTTP API

The command line and the Python API know the launcher by this API alone. Locally it is served on a Unix
socket that only you can open:

```sh
curl --unix-socket "$XDG_RUNTIME_DIR/offload/launcher.sock" http://launcher/v1/jobs
```

`offload launcher status` tells where the socket is. Over TCP each call carries `Authorization: Bearer TOKEN`
([another machine](../../howto/another-machine.md)).

The description for programs is OpenAPI, at `/v1/openapi.json`. The shapes are on the page of
[JSON shapes](json.md). Every call may be repeated.

Any call can also be answered with a `Problem`, an object with `code`, `sentence`, `next_step` and `details`:
401 without the token over TCP, 422 for what isn't valid, 500 for a failure of Offload itself, 507 when the
launcher's disk is full. The codes are on the page of [error codes](errors.md).
"""
_METHODS = ("get", "head", "post", "put", "delete")
_ANY = ("401", "422", "500", "507")
"""Statuses that every call can have."""


def page() -> str:
    """The page of the HTTP API."""
    description = openapi()
    return "\n".join([_HEAD, *(_section(*call, description) for call in _calls(description))])


def openapi() -> dict[str, Any]:
    """The description of the public API, as the launcher serves it."""
    return api_of(None).openapi()


def _calls(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, calls in description["paths"].items():
        for method in _METHODS:
            if method in calls:
                yield method.upper(), path, calls[method]


def _section(method: str, path: str, call: dict[str, Any], description: dict[str, Any]) -> str:
    parts = [f"## `{method} {path}`", f"{call['summary']}.", call.get("description", "")]
    if parameters := call.get("parameters"):
        rows = [
            (f"`{item['name']}`", item["in"], _type(item["schema"]), item.get("description", ""))
            for item in parameters
        ]
        parts.append(table(("parameter", "in", "type", ""), rows))
    if body := call.get("requestBody"):
        parts += [f"Body: {_content(body)}.", _example(body, description)]
    answers = sorted((status, answer) for status, answer in call["responses"].items() if status not in _ANY)
    parts.append(table(("answer", "body", ""), [_answer(*answer) for answer in answers]))
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _answer(status: str, answer: dict[str, Any]) -> tuple[str, str, str]:
    told = answer.get("description", "")
    return status, _content(answer), "" if told == "Successful Response" else told


def _content(holder: dict[str, Any]) -> str:
    described = []
    for kind, content in holder.get("content", {}).items():
        shape = _type(content.get("schema", {}))
        described.append(shape if kind == "application/json" else f"`{kind}`")
    return "; ".join(described)


def _example(body: dict[str, Any], description: dict[str, Any]) -> str:
    schema = body.get("content", {}).get("application/json", {}).get("schema", {})
    named = description["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
    return "".join(f"```json\n{json.dumps(example, indent=2)}\n```" for example in named.get("examples", []))


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _shape(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"] if part.get("type") != "null")
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", ""))


def _shape(name: str) -> str:
    plain = name.removesuffix("Body").partition("-")[0]
    if plain in {shape.__name__ for shape in SHAPES}:
        return f"[{plain}](json.md#{plain.lower()})"
    return f"`{plain}`"
