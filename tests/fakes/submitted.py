"""Jobs in a store, without a launcher."""

from __future__ import annotations

from typing import Any

from offload.model.array import parse_array
from offload.model.manifest import Manifest, digest_of
from offload.model.spec import Spec
from offload.store import jobs, manifests
from offload.store.engine import Store
from offload.wire.api import Submission


def put(store: Store, manifest: Manifest) -> str:
    """Keep a manifest; its digest."""
    data = manifest.encode()
    store.run_now(manifests.put, digest_of(data), data, manifest, 1.0)
    return digest_of(data)


def submit(store: Store, array: str, *, files: Manifest | None = None, **options: Any) -> str:
    """Submit a job with an empty directory, or with ``files``; its id."""
    spec = Spec(
        command=("true",),
        name="true",
        cluster="local",
        snapshot=put(store, files or Manifest.of([])),
        home="file://here/work",
        array=parse_array(array),
        is_array=array != "1",
        **options,
    )
    view, _ = store.run_now(jobs.submit, Submission(spec=spec, key="k"), "ada", 1.0)
    return view.id
