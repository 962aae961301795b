"""Images without a registry: a small Debian by debootstrap, and on it what the tests run, by buildah.

Each image is known by the digest of what it is made of. One that containerd has under the same digest isn't
built again; else buildah's layers make the most of it. So a change of Offload's source costs its own small
layer.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster.containerd import ROOT, ctr
from cluster.places import CACHE, HERE, TREE, digest, files_below
from cluster.processes import run, step

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
PACKAGES = "ca-certificates,python3"
# Nobody reads these in a container.
NEEDLESS = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "var/cache/apt",
    "var/lib/apt/lists",
)

RUNNER_FILE = TREE / "deploy" / "images" / "runner"
SOURCE = TREE / "src" / "offload"


@dataclass(frozen=True)
class Image:
    """An image of the tests: its name, what it depends on, and how it is built under that name."""

    name: str
    inputs: Callable[[], list[bytes | str]]
    build: Callable[[str], None]

    @property
    def key(self) -> str:
        """Changes with the inputs."""
        return digest(self.inputs())


def buildah(*argv: object, seconds: float = 900) -> str:
    """What buildah prints; its images are in the cache."""
    store = CACHE / "buildah"
    return run("buildah", "--root", store / "images", "--runroot", store / "run", *argv, seconds=seconds)


def base() -> str:
    """The name of a small Debian with Python, made when there is none."""
    name = "localhost/offload-test-base:" + digest([SUITE, MIRROR, PACKAGES, *NEEDLESS])
    if name not in buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
        with step("Making a small Debian"), tempfile.TemporaryDirectory(dir=CACHE) as work:
            _bootstrap(Path(work) / "root")
            _from_scratch(name, Path(work) / "root")
    return name


def _bootstrap(root: Path) -> None:
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root, MIRROR)
    for folder in NEEDLESS:
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir()
    for record in (root / "var/log").glob("*.log"):
        record.unlink()


def _from_scratch(name: str, root: Path, *settings: str) -> None:
    container = buildah("from", "scratch").strip()
    try:
        buildah("copy", container, root, "/")
        if settings:
            buildah("config", *settings, container)
        buildah("commit", "--quiet", "--rm", container, name)
    except BaseException:
        buildah("rm", container)
        raise


def _compiled(source: Path, program: str) -> Callable[[str], None]:
    def build(name: str) -> None:
        with tempfile.TemporaryDirectory() as work:
            root = Path(work) / "root"
            root.mkdir(mode=0o755)
            run("gcc", "-Os", "-static", "-s", "-o", root / program, source)
            _from_scratch(name, root, "--entrypoint", f'["/{program}"]', "--cmd", "")

    return build


def _containerfile(file: Path, context: Path, *options: object) -> Callable[[str], None]:
    def build(name: str) -> None:
        with tempfile.TemporaryDirectory() as words:
            ids = Path(words) / "id"
            fixed = (
                "--isolation=chroot",
                "--layers",
                "--quiet",
                "--build-arg",
                f"BASE={base()}",
                "--iidfile",
                ids,
            )
            buildah("build", *fixed, *options, "-f", file, "-t", name, context)

    return build


def _runner(name: str) -> None:
    """With the Containerfile that people use; only pip's part is done outside, as set up here."""
    packages = CACHE / "packages" / digest([(RUNNER_FILE / "requirements.txt").read_bytes()])
    if not packages.exists():
        packages.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=packages.parent) as work:
            unfinished = Path(work) / "whole"
            target = unfinished / "packages"
            wheels = ("--python-version", "3.11", "--only-binary", ":all:", "--require-hashes")
            uv = run(TREE / "scripts" / "find-uv").strip()
            requirements = ("-r", RUNNER_FILE / "requirements.txt")
            run(uv, "pip", "install", "--quiet", "--target", target, *wheels, *requirements)
            unfinished.rename(packages)
    context = ("--build-context", f"packages={packages}")
    _containerfile(RUNNER_FILE / "Containerfile", TREE, *context)(name)


def _small(folder: str) -> Image:
    where = HERE / "images" / folder
    build = _containerfile(where / "Containerfile", where)
    return Image(f"offload-test-{folder}:test", lambda: [base(), *files_below(where)], build)


def _program(folder: str, program: str) -> Image:
    source = next((HERE / "images" / folder).glob("*.c"))
    return Image(f"offload-test-{folder}:test", lambda: [source.read_bytes()], _compiled(source, program))


def _plain(name: str) -> None:
    buildah("tag", base(), name)


# The pause image is named in containerd's configuration, before it is there.
PAUSE = _program("pause", "pause")
RUNNER = Image(
    "offload-runner:test",
    lambda: [base(), *files_below(RUNNER_FILE), *files_below(SOURCE)],
    _runner,
)
IMAGES = (
    PAUSE,
    _program("noshell", "program"),
    _small("busybox"),
    Image("offload-test-python:test", lambda: [base()], _plain),
    RUNNER,
    _small("r"),
)


def bring(image: Image) -> bool:
    """Build an image and give it to containerd, unless it has it; whether that was needed."""
    known = ROOT.parent / "imported" / image.name
    key = image.key
    full = f"localhost/{image.name}"
    if known.exists() and known.read_text() == key and _there(image):
        return False
    with step(f"Building the image {image.name}"):
        image.build(full)
    with step(f"Importing {image.name}"), tempfile.TemporaryDirectory(dir=CACHE) as work:
        archive = Path(work) / "image.tar"
        # An archive of this kind isn't compressed, which takes longer than all the rest.
        buildah("push", "--quiet", full, f"docker-archive:{archive}:{full}")
        ctr("images", "import", archive)
    # A pod's image without a registry is one of docker.io.
    ctr("images", "tag", "--force", full, f"docker.io/library/{image.name}")
    known.parent.mkdir(parents=True, exist_ok=True)
    known.write_text(key)
    return True


def _there(image: Image) -> bool:
    return f"docker.io/library/{image.name}" in ctr("images", "ls", "-q").split()
