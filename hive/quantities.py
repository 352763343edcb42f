"""Quantities as people read them."""

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def bytes_text(count: int) -> str:
    """`668.8 MB`: decimal units, as disks and hubs count; one digit after the point."""
    if count < 1000:
        return counted(count, "byte")
    value, power = count / 1000, 0
    while value >= 999.95 and power < len(_UNITS) - 1:
        value, power = value / 1000, power + 1
    return f"{value:.1f} {_UNITS[power]}"


def counted(count: int, noun: str) -> str:
    """`1 file`, `3 files`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
