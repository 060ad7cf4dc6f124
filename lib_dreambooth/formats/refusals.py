"""Sentences for files that cannot be opened or are not models at all."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from lib_dreambooth.base.errors import FileError

# Windows without the long-path setting; the last character is the terminating zero.
WINDOWS_PATH_LIMIT = 260

DOWNLOAD_AGAIN = "Download or copy it again."
CHOOSE_MODEL = "Choose a .safetensors or .ckpt file."

# What hosts call each form; they choose their reader by it.
ENDINGS = {
    "safetensors": (".safetensors", ".sft"),
    "torch": (".ckpt", ".pt", ".pth", ".bin"),
}
# In a name like `model v1.5` nothing is an ending.
ENDING = re.compile(r"\.[a-z][a-z0-9_]*")

# What the first bytes say, in the order in which they are looked at.
SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (
        b"GGUF",
        "is a GGUF file, a quantized form that cannot be trained from.",
        "Choose the .safetensors form.",
    ),
    (
        b"version https://git-lfs",
        "is a Git LFS pointer, a note in place of the model.",
        "Run `git lfs pull`.",
    ),
    (b"<!DOCTYPE", "is a web page, so the download did not work.", DOWNLOAD_AGAIN),
    (b"<!doctype", "is a web page, so the download did not work.", DOWNLOAD_AGAIN),
    (b"<html", "is a web page, so the download did not work.", DOWNLOAD_AGAIN),
    (b"\x89PNG", "is a picture, not a model.", CHOOSE_MODEL),
    (b"\xff\xd8\xff", "is a picture, not a model.", CHOOSE_MODEL),
    (b"RIFF", "is a picture or a sound, not a model.", CHOOSE_MODEL),
    (b"7z\xbc\xaf", "is a 7z archive.", "Unpack it and choose the model inside."),
    (b"Rar!", "is a RAR archive.", "Unpack it and choose the model inside."),
    (b"\x1f\x8b", "is a gzip archive.", "Unpack it and choose the model inside."),
    (b"\x89HDF", "is an HDF5 file, which is a Keras model.", CHOOSE_MODEL),
    (b"MZ", "is a Windows program, not a model.", "Do not run it. " + CHOOSE_MODEL),
)


def unreadable(path: Path, error: OSError, *, is_windows: bool = os.name == "nt") -> FileError:
    """The sentence for a file that the system would not open."""
    too_long = error.errno == errno.ENAMETOOLONG or (is_windows and len(str(path)) >= WINDOWS_PATH_LIMIT)
    if too_long:
        what, todo, code = (
            f"the path is too long for this system ({len(str(path))} characters).",
            "Use a shorter name or a folder nearer to the drive's top.",
            "path-too-long",
        )
    elif error.errno in (errno.ENOENT, errno.ENOTDIR):
        what, todo, code = "there is no such file.", "Check the path.", "not-found"
    elif error.errno in (errno.EACCES, errno.EPERM):
        what, todo, code = (
            "may not be read.",
            "Allow reading, or close the program that holds it.",
            "not-readable",
        )
    else:
        reason = error.strerror or type(error).__name__
        what, todo, code = f"could not be read ({reason}).", "Check the disk and try again.", "not-readable"
    return FileError(what, where=str(path), todo=todo, code=code)


def damaged(path: Path, what: str) -> FileError:
    """The sentence for a file that began as a model and is not whole."""
    return FileError(
        f"is damaged or incomplete: {what}.", where=str(path), todo=DOWNLOAD_AGAIN, code="damaged-file"
    )


def not_a_model(path: Path, head: bytes) -> FileError:
    """The sentence for a file whose first bytes belong to no container of models."""
    for signature, what, todo in SIGNATURES:
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(signature):
            return FileError(what, where=str(path), todo=todo, code="not-a-model")
    if not head.strip(b"\0"):
        return damaged(path, "it begins with nothing but zeros, as an unfinished download does")
    if is_text(head):
        return FileError(
            "is a text file, not a model.", where=str(path), todo=CHOOSE_MODEL, code="not-a-model"
        )
    return FileError(
        "is not a model: it is neither safetensors nor a PyTorch file.",
        where=str(path),
        todo=CHOOSE_MODEL,
        code="not-a-model",
    )


def require_ending(path: Path, container: str) -> None:
    """Refuses a model under the name of another kind of file, which no host could read."""
    ending = path.suffix.lower()
    if ending in ENDINGS[container] or not ENDING.fullmatch(ending):
        return
    form = {"safetensors": "safetensors", "torch": "PyTorch's"}[container]
    raise FileError(
        f"has the wrong ending: it is in {form} form, and WebUIs choose by the name how to read it.",
        where=str(path),
        todo=f"Rename it so that it ends in {ENDINGS[container][0]}.",
        code="wrong-ending",
    )


def is_text(head: bytes) -> bool:
    """Whether the bytes read as UTF-8 text without control characters."""
    # A cut in the middle of a character is no sign against text.
    text = head.decode("utf-8", errors="ignore")
    if len(text.encode("utf-8")) < len(head) - 4:
        return False
    return all(character.isprintable() or character in "\t\r\n\ufeff" for character in text)
