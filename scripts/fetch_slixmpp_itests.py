"""Bring in slixmpp's own integration tests, which its source archive holds and its wheels do not.

    python scripts/fetch_slixmpp_itests.py [DIRECTORY]

The archive is pinned by its SHA-256 and kept below `build/`, which git ignores; with it there, no network is needed.
With a DIRECTORY, the tests are unpacked to DIRECTORY/itests, and the path of that folder is printed. Nothing of the
archive is run here except its build back end, which pip asks for the metadata (after it has checked the hash).
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

VERSION = "1.17.0"
SHA256 = "05257ee0f2aecb42d6479f6071c89ad3c734fda0ee753eb4625ecdc6114d90b1"
ARCHIVE = Path(__file__).resolve().parents[1] / "build" / "slixmpp-itests" / f"slixmpp-{VERSION}.tar.gz"

MAX_FILE_BYTES = 256 * 1024  # per unpacked file; the largest of 1.17.0 has 7 KiB
TIMEOUT = 300  # seconds for pip, a build environment for the metadata included


class FetchError(Exception):
    """The tests could not be brought in; the text says why."""


def is_the_archive(path: Path) -> bool:
    """Whether the file at `path` is, bit for bit, the archive that is meant."""
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256


def bring_archive(archive: Path = ARCHIVE) -> Path:
    """Return the path of the archive; download it with pip unless it is there already."""
    if is_the_archive(archive):
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        folder = Path(scratch)
        requirements = folder / "requirements.txt"
        requirements.write_text(f"slixmpp=={VERSION} --hash=sha256:{SHA256}\n", encoding="ascii")
        command = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "download",
            "--quiet",
            "--no-deps",
        ]
        command += ["--no-binary", "slixmpp", "--require-hashes", "--requirement", str(requirements)]
        try:
            done = subprocess.run(
                [*command, "--dest", str(folder)],
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise FetchError(f"pip did not bring slixmpp {VERSION} within {TIMEOUT} s") from error
        downloaded = folder / archive.name
        if done.returncode or not is_the_archive(downloaded):
            raise FetchError(
                f"pip did not bring the source archive of slixmpp {VERSION}:\n{done.stdout}{done.stderr}"
            )
        downloaded.replace(archive)
    return archive


def unpack(archive: Path, directory: Path) -> Path:
    """Write the archive's itests/*.py to `directory`/itests and return that folder.

    Only regular files directly in that folder of the archive are read, and each is written under its bare name, so
    that no path, link or mode of the archive counts.
    """
    target = directory / "itests"
    target.mkdir(parents=True, exist_ok=True)
    wanted = PurePosixPath(f"slixmpp-{VERSION}") / "itests"
    written = 0
    with tarfile.open(archive, "r:gz") as content:
        for member in content:
            path = PurePosixPath(member.name)
            if not member.isreg() or path.parent != wanted or path.suffix != ".py":
                continue
            if member.size > MAX_FILE_BYTES:
                raise FetchError(f"{member.name} has {member.size} bytes, more than a test module has")
            source = content.extractfile(member)
            if source is None:
                raise FetchError(f"{member.name} cannot be read")
            (target / path.name).write_bytes(source.read())
            written += 1
    if not written:
        raise FetchError(f"{archive} holds no tests below {wanted}")
    return target


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", nargs="?", type=Path, help="where to unpack the tests to")
    directory: Path | None = parser.parse_args(arguments).directory
    try:
        archive = bring_archive()
        print(unpack(archive, directory) if directory else archive)
    except (FetchError, OSError, tarfile.TarError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
