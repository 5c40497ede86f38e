"""Write files so that a crash, a kill or a full disk leaves the old ones as they were."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["append_line", "atomic_path", "sha256_of", "write_bytes", "write_text"]


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that replaces ``path`` when the block ends well.

    The data reaches the disk (fsync) before the name does, and the folder is synced after,
    so whoever opens ``path`` sees the old file or the new one, whole.

    Args:
        path: The file to write. Missing folders are made.

    Raises:
        OSError: The disk is full, or the folder cannot be written; ``path`` is as it was.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with atomic_path(target) as draft:
        ...     _ = draft.write_text("whole or not at all")
        >>> target.read_text()
        'whole or not at all'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        draft.chmod(0o666 & ~_umask())
        _sync(draft)
        draft.replace(path)
        _sync(path.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically; see :func:`atomic_path`."""
    with atomic_path(path) as draft:
        draft.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically as UTF-8; see :func:`atomic_path`."""
    write_bytes(path, text.encode())


def append_line(path: str | Path, record: Mapping[str, Any]) -> None:
    """Add one JSON line to a log such as metrics.jsonl."""
    with Path(path).open("a", encoding="utf-8") as log:
        log.write(json.dumps(dict(record)) + "\n")


def sha256_of(path: str | Path) -> str:
    """Return the file's SHA-256 as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders.
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
