"""Foreign test code is only unpacked from the very archive that is pinned, and only to where it belongs."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "fetch_slixmpp_itests.py"
ROOT = "slixmpp-1.17.0"


@pytest.fixture
def fetch():
    """The script as a module of this test's own."""
    spec = importlib.util.spec_from_file_location("fetch_slixmpp_itests", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def archive_with(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    """Write an archive of `members` to `path`."""
    with tarfile.open(path, "w:gz") as content:
        for info, data in members:
            info.size = len(data)
            content.addfile(info, io.BytesIO(data))
    return path


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info, b""


def test_only_the_tests_are_unpacked(fetch, tmp_path: Path) -> None:
    archive = archive_with(
        tmp_path / "a.tar.gz",
        [
            (tarfile.TarInfo(f"{ROOT}/itests/test_good.py"), b"good"),
            (tarfile.TarInfo(f"{ROOT}/itests/server.key"), b"key"),
            (tarfile.TarInfo(f"{ROOT}/itests/../../../up.py"), b"up"),
            (tarfile.TarInfo(f"{ROOT}/itests/deep/down.py"), b"down"),
            (tarfile.TarInfo(f"{ROOT}/setup.py"), b"setup"),
            (tarfile.TarInfo("/itests/root.py"), b"root"),
            link(f"{ROOT}/itests/test_link.py", "/etc/passwd"),
        ],
    )
    folder = fetch.unpack(archive, tmp_path / "out")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.py")] == [
        "out/itests/test_good.py"
    ]
    assert list(folder.iterdir()) == [folder / "test_good.py"]


def test_a_huge_file_is_refused(fetch, tmp_path: Path) -> None:
    large = bytes(fetch.MAX_FILE_BYTES + 1)
    archive = archive_with(tmp_path / "a.tar.gz", [(tarfile.TarInfo(f"{ROOT}/itests/test_large.py"), large)])
    with pytest.raises(fetch.FetchError, match="test_large"):
        fetch.unpack(archive, tmp_path / "out")


def test_an_archive_without_tests_is_refused(fetch, tmp_path: Path) -> None:
    archive = archive_with(tmp_path / "a.tar.gz", [(tarfile.TarInfo(f"{ROOT}/setup.py"), b"setup")])
    with pytest.raises(fetch.FetchError, match="holds no tests"):
        fetch.unpack(archive, tmp_path / "out")


def test_another_archive_is_not_taken(fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the right name with other contents is neither used from the cache nor accepted as a download."""
    cached = tmp_path / f"{ROOT}.tar.gz"
    cached.write_bytes(b"other")

    def download(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        assert "--require-hashes" in command
        destination = Path(command[command.index("--dest") + 1])
        (destination / cached.name).write_bytes(b"other still")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetch.subprocess, "run", download)
    with pytest.raises(fetch.FetchError, match="did not bring"):
        fetch.bring_archive(cached)
    assert cached.read_bytes() == b"other"


def test_the_pinned_archive_is_used_without_pip(
    fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / f"{ROOT}.tar.gz"
    cached.write_bytes(b"the one")
    monkeypatch.setattr(fetch, "SHA256", hashlib.sha256(b"the one").hexdigest())
    monkeypatch.setattr(fetch.subprocess, "run", None)
    assert fetch.bring_archive(cached) == cached
