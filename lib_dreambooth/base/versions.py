"""Versions of packages, as far as the program goes by them."""

from __future__ import annotations


def first_two(text: str) -> tuple[int, int]:
    """The first two numbers of a version."""
    major, minor = text.split(".")[:2]
    return int(major), int(minor)
