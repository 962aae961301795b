"""HyperQueue on this machine: seconds for N tasks of one program, with the output of each in a file.

For an interpreter that has the package ``hyperqueue``: ``hyperqueue_peer.py CORES N DIRECTORY PROGRAM…``.
Server and workers are up before the clock starts, as Offload's launcher is.
"""

import sys
import time
from pathlib import Path

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig


def main(cores: int, tasks: int, directory: Path, program: list[str]) -> None:
    """Print the seconds."""
    with LocalCluster(str(directory / "server"), WorkerConfig(cores=cores)) as cluster:
        client = cluster.client()
        for count in (cores, tasks):  # the first time doesn't count
            job = Job(default_workdir=directory)
            for number in range(count):
                outputs = {name: str(directory / f"{count}-{number}.{name}") for name in ("stdout", "stderr")}
                job.program(program, **outputs)
            began = time.perf_counter()
            client.wait_for_jobs([client.submit(job)])
            took = time.perf_counter() - began
        print(took)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
