"""Counts as people read them; bytes are in `hive.disk.in_words`."""


def counted(count: int, noun: str) -> str:
    """`1 file`, `3 files`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
