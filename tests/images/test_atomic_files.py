"""Files that appear whole or not at all."""

import errno
import os
import stat

import pytest

from trimix.errors import OutputError
from trimix.images import atomic_files as module
from trimix.images import write_atomically


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def failing(error):
    def function(*_, **__):
        raise error

    return function


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_new_file_is_written(tmp_path, overwrite):
    write_atomically(tmp_path / "a", b"data", overwrite=overwrite)
    assert (tmp_path / "a").read_bytes() == b"data"
    assert names(tmp_path) == ["a"]


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", b"", overwrite=False)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_an_existing_file_is_kept_unless_asked(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(OutputError, match="a already exists; replace it, or choose"):
        write_atomically(tmp_path / "a", b"new", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"old"
    write_atomically(tmp_path / "a", b"new", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch, has_links):
    flush = os.fsync

    def slow_flush(descriptor):
        flush(descriptor)
        (tmp_path / "a").write_bytes(b"of another program")

    monkeypatch.setattr(module.os, "fsync", slow_flush)
    if not has_links:
        monkeypatch.setattr(module.os, "link", failing(OSError(errno.EPERM, "no links")))
    with pytest.raises(OutputError, match="already exists"):
        write_atomically(tmp_path / "a", b"new", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"of another program"
    assert names(tmp_path) == ["a"]


def test_file_systems_without_links(tmp_path, monkeypatch):
    monkeypatch.setattr(module.os, "link", failing(OSError(errno.EPERM, "no links")))
    write_atomically(tmp_path / "a", b"data", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"data"
    assert names(tmp_path) == ["a"]


def test_a_reservation_is_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr(module.os, "link", failing(OSError(errno.EPERM, "no links")))
    monkeypatch.setattr(module.Path, "replace", failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", b"data", overwrite=False)
    assert names(tmp_path) == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "found no space left"),
        (OSError(errno.EACCES, "Permission denied"), "writing must be permitted"),
        (OSError(errno.EROFS, "Read-only file system"), "found read-only"),
        (OSError(errno.EIO, "Input/output error"), "cannot be written .Input/output error."),
    ],
)
def test_errors_of_the_system_leave_nothing_behind(tmp_path, monkeypatch, error, words, overwrite):
    monkeypatch.setattr(module.os, "fsync", failing(error))
    with pytest.raises(OutputError, match=words) as caught:
        write_atomically(tmp_path / "a", b"data", overwrite=overwrite)
    assert str(tmp_path / "a") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_an_interrupt_leaves_nothing_behind_and_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(module.os, "fsync", failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", b"new", overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_bad_targets(tmp_path, overwrite):
    def message(target):
        with pytest.raises(OutputError) as caught:
            write_atomically(target, b"data", overwrite=overwrite)
        return str(caught.value)

    (tmp_path / "file").touch()
    assert "found a directory" in message(tmp_path)
    assert "the directory must exist, found none; create" in message(tmp_path / "none" / "a")
    assert "must be a directory, found a file" in message(tmp_path / "file" / "a")
    assert "found it too long" in message(tmp_path / ("a" * 300))
    assert names(tmp_path) == ["file"]


def test_the_longest_name_is_written(tmp_path):
    write_atomically(tmp_path / ("a" * 255), b"data", overwrite=False)


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="must be a regular file"):
        write_atomically(tmp_path / "pipe", b"data", overwrite=True)
    assert names(tmp_path) == ["pipe"]


def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "a")
    write_atomically(tmp_path / "link", b"new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "a").read_bytes() == b"new"
