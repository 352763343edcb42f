"""Room on disk: reservations are seen by all jobs, and a full disk is refused in numbers."""

from pathlib import Path

import pytest

from hive.disk import Disk, in_words
from shared.errors import JobFailed

GB = 1_000_000_000


class SmallDisk(Disk):
    """A disk of which a test says how much is free."""

    def __init__(self, free: int, margin: int = 0) -> None:
        super().__init__(Path(), margin=margin)
        self.bytes_free = free

    def free(self) -> int:
        return self.bytes_free


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (4_700_000_000, "4.7 GB"),
        (123_456_789, "123 MB"),
        (999_999, "1.0 MB"),
    ],
)
def test_sizes_are_told_as_disks_are_sold(size: int, words: str) -> None:
    assert in_words(size) == words


def test_the_real_file_system_is_asked(tmp_path: Path) -> None:
    disk = Disk(tmp_path)

    assert disk.free() > 0
    disk.check(1)


def test_what_does_not_fit_is_refused_with_the_numbers() -> None:
    disk = SmallDisk(10 * GB)

    with disk.reserve(8 * GB), pytest.raises(JobFailed) as failed:
        disk.check(3 * GB)

    assert failed.value.code == "disk_full"
    assert "3.0 GB needed, 2.0 GB available (8.0 GB promised to other jobs)" in failed.value.message
    assert failed.value.hint
    disk.check(10 * GB)


def test_the_margin_is_never_promised() -> None:
    with pytest.raises(JobFailed):
        SmallDisk(10 * GB, margin=GB).check(10 * GB)


def test_a_reservation_shrinks_as_bytes_are_really_taken() -> None:
    disk = SmallDisk(10 * GB)

    with disk.reserve(6 * GB) as reservation:
        disk.bytes_free -= 4 * GB
        reservation.taken(4 * GB)
        disk.check(4 * GB)
        with pytest.raises(JobFailed):
            disk.check(4 * GB + 1)
        reservation.taken(5 * GB)
        assert disk.reserved == 0

    assert disk.reserved == 0


def test_a_reservation_ends_with_its_block_whatever_happens() -> None:
    disk = SmallDisk(10 * GB)

    with pytest.raises(ValueError, match="boom"), disk.reserve(GB) as reservation:
        reservation.grow(GB)
        assert disk.reserved == 2 * GB
        raise ValueError("boom")

    assert disk.reserved == 0


def test_nothing_needed_fits_a_full_disk() -> None:
    with SmallDisk(0, margin=GB).reserve(0):
        pass
