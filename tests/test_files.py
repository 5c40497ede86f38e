"""Atomic writes: the old file or the new one, whole."""

import os
import subprocess
import sys

import pytest

from snowai._files import atomic_path, sha256_of, write_bytes


def test_an_error_while_writing_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    with pytest.raises(RuntimeError), atomic_path(path) as draft:
        draft.write_bytes(b"half of the n")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_folders_are_made_and_the_umask_holds(tmp_path):
    old = os.umask(0o027)
    try:
        write_bytes(tmp_path / "new" / "a.bin", b"x")
    finally:
        os.umask(old)
    assert (tmp_path / "new" / "a.bin").stat().st_mode & 0o777 == 0o640


def test_sha256(tmp_path):
    (tmp_path / "empty").touch()
    assert sha256_of(tmp_path / "empty").startswith("e3b0c442")


FULL_DISK = """
import resource, signal, sys
import snowai
from snowai import checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    checkpoint.save(snowai.create_model("se_unet_base"), sys.argv[1])
except OSError as error:
    print("refused:", error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file size limits to set")
def test_a_full_disk_while_saving_keeps_the_old_checkpoint(tmp_path):
    # The kernel refuses to write past 100 kB, as a full disk would.
    import snowai
    from snowai import checkpoint

    path = tmp_path / "network.safetensors"
    checkpoint.save(snowai.create_model("se_unet_tiny"), path)
    before = sha256_of(path)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, check=True
    )
    assert "refused:" in done.stdout
    assert sha256_of(path) == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
