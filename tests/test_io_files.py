"""Writing files: what is there stays whole, with its permissions and links; nothing is left beside it."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from xpnn.backend import ArgumentError
from xpnn.io import atomic_write, lock_folder


def write(path: str | Path, content: bytes = b"new") -> None:
    with atomic_write(path) as file:
        file.write(content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_an_interrupted_write_leaves_the_old_file(path: Path) -> None:
    path.write_bytes(b"old")

    def write_half() -> None:
        with atomic_write(path) as file:
            file.write(b"half of the ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o400])
def test_permissions_are_kept(path: Path, mode: int) -> None:
    path.write_bytes(b"old")
    path.chmod(mode)
    with atomic_write(path) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == mode  # not more open while it is written
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_has_the_usual_permissions(path: Path) -> None:
    write(path)
    path.with_name("plain").write_bytes(b"")
    assert path.stat().st_mode == path.with_name("plain").stat().st_mode


def test_links_stay_links(path: Path) -> None:
    (path.parent / "elsewhere").mkdir()
    target = path.parent / "elsewhere" / "target"
    target.write_bytes(b"old")
    path.symlink_to("elsewhere/target")
    write(path)
    assert path.is_symlink()
    assert target.read_bytes() == b"new"
    assert sorted(os.listdir(target.parent)) == ["target"]
    target.unlink()
    write(path)  # a link to nothing yet
    assert path.is_symlink()
    assert target.read_bytes() == b"new"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "folder", "link", "/dev/full", "/dev/null"):
        before = os.stat(tmp_path / name).st_mode
        with pytest.raises(ArgumentError, match="cannot be written: it is a folder, a device or a pipe"):
            write(tmp_path / name)
        assert os.stat(tmp_path / name).st_mode == before
    assert sorted(os.listdir(tmp_path)) == ["folder", "link", "pipe"]


def test_names_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    write(path)
    assert path.read_bytes() == b"new"
    with pytest.raises(OSError, match=r"x{256}"):
        write(tmp_path / ("x" * 256))


def test_errors_name_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=rf"No space left on device: '{path}'"):
        write(path)
    monkeypatch.undo()
    with pytest.raises(NotADirectoryError, match=str(path)):
        write(path / "below")
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_other_errors_of_the_writer_pass(path: Path) -> None:
    def read_another() -> None:
        with atomic_write(path) as file:
            file.write(Path("no such file").read_bytes())

    with pytest.raises(FileNotFoundError, match="no such file"):
        read_another()
    assert os.listdir(path.parent) == []


WRITER = """
import sys, time
from xpnn.io import atomic_write, lock_folder
with atomic_write(sys.argv[1]) as file:
    file.write(b"half")
    print(flush=True)
    time.sleep(60)
"""


def test_what_the_killed_have_left_is_removed(path: Path) -> None:
    killed, alive = (
        subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) for _ in range(2)
    )
    for process in (killed, alive):
        process.stdout.readline()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(os.listdir(path.parent)) == 2
    write(path)
    assert len(os.listdir(path.parent)) == 2, "the living one's stays"
    alive.send_signal(signal.SIGINT)
    alive.wait()
    for process in (killed, alive):
        process.stdout.close()
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == b"new"


def test_others_files_stay(path: Path) -> None:
    names = {".xpnn-notes", "xpnn.tmp", ".file.123.tmp", path.name}
    for name in names:
        path.with_name(name).write_bytes(b"")
    write(path)
    assert set(os.listdir(path.parent)) == names


def test_writers_at_the_same_time(path: Path) -> None:
    """Each leaves a whole file, and none fails."""
    contents = [bytes([number]) * 100_000 for number in range(4)]
    failures = []

    def save(content: bytes) -> None:
        try:
            for _ in range(20):
                write(path, content)
        except BaseException as error:
            failures.append(error)

    path.write_bytes(contents[0])
    threads = [threading.Thread(target=save, args=[content]) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert path.read_bytes() in contents
    for thread in threads:
        thread.join()
    assert failures == []
    write(path, b"last")
    assert path.read_bytes() == b"last"
    assert os.listdir(path.parent) == [path.name]


# Folders of one process


HOLDER = """
import sys, time
from pathlib import Path
from xpnn.io import lock_folder
with lock_folder(Path(sys.argv[1])):
    print(flush=True)
    time.sleep(60)
"""


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE)
    holder.stdout.readline()
    with (
        pytest.raises(ArgumentError, match=rf"folder' is in use by process {holder.pid} on "),
        lock_folder(folder),
    ):
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert len(os.listdir(folder)) == 1, "what the killed one has left"
    for _ in range(2):
        with lock_folder(folder):
            (name,) = os.listdir(folder)
            assert str(os.getpid()) in (folder / name).read_text()
        assert os.listdir(folder) == []
    with pytest.raises(RuntimeError), lock_folder(folder):
        raise RuntimeError
    assert os.listdir(folder) == []


def test_owners_at_the_same_time(tmp_path: Path) -> None:
    """Of threads that want one folder again and again, at most one has it."""
    inside, had, most = [], [], []

    def want() -> None:
        for _ in range(200):
            try:
                with lock_folder(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    had.append(1)
                    inside.pop()
            except ArgumentError:
                pass

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(had) > 10
    assert os.listdir(tmp_path) == []
