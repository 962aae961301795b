"""Parameters through the public API: what a submission may say, and what is shown of each task."""

from __future__ import annotations

import pytest

from fakes.service import SNAPSHOT, Service, caught, spec
from offload.errors import BlobMissingError, UsageError
from offload.model.manifest import digest_of
from offload.model.parameters import Axis, Parameters, Table
from offload.wire.blob_client import HttpBlobs
from offload.wire.codec import to_builtins
from offload.wire.encoding import encode_bytes
from offload.wire.tables import manifest_of, parts_of

GRID = Parameters(grid=(Axis(name="lr", values=("0.1", "x")), Axis(name="seed", ranges=((1, 1000, 1),))))


def submit(service: Service, array: str, parameters: Parameters, **more):
    service.put_snapshot()
    asked = spec(array, is_array=True, parameters=parameters, **more)
    return service.call("POST", "/v1/jobs", {"key": "k", "spec": to_builtins(asked)})


def put_table(service: Service, rows: list[list[str]]) -> str:
    parts = list(parts_of(rows))
    manifest = manifest_of(entry for entry, _ in parts)
    with service.connect() as connection:
        blobs = HttpBlobs(connection, "/v1")
        blobs.put(encode_bytes(entry.digest, data) for entry, data in parts)
        blobs.put_manifest(digest_of(manifest), manifest)
    return digest_of(manifest)


def test_tasks_of_a_grid_are_shown_with_their_values(service):
    job = submit(service, "1-2000", GRID)["id"]
    page = service.call("GET", f"/v1/jobs/{job}/tasks?limit=2&after=999")
    assert [task["parameters"] for task in page["tasks"]] == [
        {"lr": "0.1", "seed": "1000"}, {"lr": "x", "seed": "1"},
    ]  # fmt: skip
    assert service.call("GET", f"/v1/jobs/{job}/tasks/2000")["parameters"] == {"lr": "x", "seed": "1000"}
    assert service.runner(job).hello().parameters == GRID


def test_tasks_of_a_table_are_shown_with_their_rows_whatever_part_they_are_in(service):
    rows = [[str(number), "x" * 1000] for number in range(2000)]
    table = Table(digest=put_table(service, rows), columns=("n", "text"), rows=2000)
    job = submit(service, "7,1999-2000", Parameters(table=table))["id"]
    page = service.call("GET", f"/v1/jobs/{job}/tasks")
    assert [task["parameters"]["n"] for task in page["tasks"]] == ["6", "1998", "1999"]
    service.restart()
    assert service.call("GET", f"/v1/jobs/{job}/tasks/7")["parameters"]["n"] == "6"


def test_a_table_that_is_not_there_is_asked_for(service):
    table = Table(digest=digest_of(b"no"), columns=("n",), rows=2)
    error = caught(lambda: submit(service, "1-2", Parameters(table=table)))
    assert type(error) is BlobMissingError
    assert error.details["digests"] == [digest_of(b"no")]


@pytest.mark.parametrize(
    ("parameters", "array", "why"),
    [
        (Parameters(), "1", "either a grid or a table"),
        (
            Parameters(grid=GRID.grid, table=Table(digest=SNAPSHOT, columns=("a",), rows=1)),
            "1",
            "either a grid",
        ),
        (Parameters(grid=(Axis(name="a"),)), "1", "have no values"),
        (Parameters(grid=(Axis(name="a", ranges=((1, 3, 0),)),)), "1", "a step of 0: a"),
        (Parameters(grid=(Axis(name="a", ranges=((1, 10**30, 1),)),)), "1", "have no values"),
        (Parameters(grid=(Axis(name="a", values=("1",), ranges=((1, 3, 1),)),)), "1", "have no values"),
        (Parameters(grid=(Axis(name="task", values=("1",)),)), "1", "'task' is reserved"),
        (Parameters(table=Table(digest="x", columns=("a",), rows=1)), "1", "isn't named by a digest"),
        (GRID, "0-5", "from 1 to 2000"),
        (GRID, "1-2001", "from 1 to 2000"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(service, parameters, array, why):
    error = caught(lambda: submit(service, array, parameters))
    assert type(error) is UsageError
    assert why in error.sentence


def test_a_place_for_results_that_would_mix_tasks_is_refused(service):
    error = caught(lambda: submit(service, "1-5", GRID, results="../out"))
    assert "below the working directory" in error.sentence
    assert "would mix the files of different tasks" in error.sentence
    grid = Parameters(grid=(Axis(name="s", ranges=((11, 1, -1),)),))
    error = caught(lambda: submit(service, "1-11", grid, results="out/{task}{s}"))
    assert "would put the files of tasks 1 and 11 into out/111" in error.sentence
    unsound = Parameters(grid=(Axis(name="s"), Axis(name="t", values=("1",))))
    error = caught(lambda: submit(service, "1", unsound, results="out/{task}{s}"))
    assert "have no values" in error.sentence


def test_a_field_that_is_not_there_names_those_that_are(service):
    asked = to_builtins(spec("1-2", is_array=True, parameters=GRID))
    asked["parameters"]["grid"][0]["value"] = "1"
    asked["parameters"]["tabel"] = None
    error = caught(lambda: service.call("POST", "/v1/jobs", {"key": "k", "spec": asked}))
    assert "the fields there are: name, values, ranges." in error.sentence
    assert "the fields there are: grid, table, appended." in error.sentence
