"""Several files as one answer."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from fastapi.responses import StreamingResponse


class Taken(io.RawIOBase):
    """What was written since the last look; nothing can be written over."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """All of it, once."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


async def zipped(files: Sequence[Path]) -> AsyncIterator[bytes]:
    """Files as one zip, never whole in memory or on the disk; those that are gone meanwhile are left out."""
    loop, taken = asyncio.get_running_loop(), Taken()
    with zipfile.ZipFile(taken, "w") as archive:
        for path in files:
            try:
                data = await loop.run_in_executor(None, path.read_bytes)
            except OSError:
                continue
            archive.writestr(path.name, data)
            yield taken.take()
    yield taken.take()


def zip_response(files: Sequence[Path], name: str) -> StreamingResponse:
    """Files to keep, as one zip."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(zipped(files), media_type="application/zip", headers=headers)
