"""Secrets in files: one a secret, named like it, in a folder that only its owner can read; as orchestrators mount them.

While a secret is being rotated the version before it stands beside it as `NAME.previous`. What was read is concealed in
this process's log.
"""

from __future__ import annotations

from pathlib import Path

from proa.observe import logs

SECRETS_DIR = "PROA_SECRETS_DIR"
BYTES_MAX = 64 * 1024


class FileSecrets:
    """`ports.Secrets` of a process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def read(self, name: str) -> tuple[str, ...]:
        files = [self._folder / name, self._folder / f"{name}.previous"]
        if not files[0].is_file():
            raise LookupError(f"there is no file {files[0]}")
        versions = tuple(_content(file) for file in files if file.is_file())
        logs.conceal(versions)
        return versions


def _content(file: Path) -> str:
    content = file.read_text(encoding="utf-8").rstrip("\r\n")
    if not 0 < len(content) <= BYTES_MAX:
        raise ValueError(f"{file} is empty, or longer than {BYTES_MAX:,} characters")
    return content
