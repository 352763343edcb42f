"""The piece map: whatever was recorded, torn or repeated, the pieces never overlap and the gaps fill the rest."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hive.download.piecemap import PieceMap

SIZE = 1000
LINES = st.lists(
    st.one_of(
        st.tuples(st.integers(-5, SIZE), st.integers(-5, 300)).map(
            lambda piece: f"+ {piece[0]} {piece[1]} 0000abcd"
        ),
        st.integers(0, SIZE).map(lambda start: f"- {start}"),
        st.text(alphabet="+- 0123456789abcdefxyz\x00", max_size=20),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, torn=st.integers(0, 12))
def test_any_record_gives_pieces_that_tile_the_file(tmp_path: Path, lines: list[str], torn: int) -> None:
    path = tmp_path / "map"
    text = "\n".join(['{"v": 1}', *lines, ""]).encode()
    path.write_bytes(text[: max(len(text) - torn, 9)])
    pieces = PieceMap(path)

    assert pieces.load() == {"v": 1}
    pieces.clip(SIZE)

    covered = [range(start, end) for start, end in pieces.gaps(SIZE)]
    starts = [start for start in range(SIZE) if pieces.get(start)]
    covered += [range(piece.start, piece.end) for start in starts if (piece := pieces.get(start))]
    assert sorted(byte for stretch in covered for byte in stretch) == list(range(SIZE))
    assert pieces.have == SIZE - sum(end - start for start, end in pieces.gaps(SIZE))


def test_a_later_record_replaces_what_it_overlaps(tmp_path: Path) -> None:
    path = tmp_path / "map"
    path.write_text('{"v": 1}\n+ 0 10 1\n+ 10 10 2\n+ 20 10 3\n+ 5 20 4\n')
    pieces = PieceMap(path)

    pieces.load()

    assert pieces.gaps(40) == [(0, 5), (25, 40)]


def test_what_one_process_records_the_next_one_reads_but_does_not_trust(tmp_path: Path) -> None:
    first = PieceMap(tmp_path / "map")
    first.begin({"size": 30})
    first.note(first.add(0, 10, 1))
    first.note(first.add(20, 10, 2))
    piece = first.get(20)
    assert piece is not None
    assert piece.trusted
    first.drop(piece)
    first.note_loss(piece)
    first.close()

    second = PieceMap(tmp_path / "map")
    identity = second.load()
    second.go_on()
    second.note(second.add(10, 5, 3))
    second.close()
    third = PieceMap(tmp_path / "map")
    third.load()

    assert identity == {"v": 1, "size": 30}
    assert third.gaps(30) == [(15, 30)]
    found = third.get(0)
    assert found is not None
    assert not found.trusted


def test_foreign_files_are_no_piece_map(tmp_path: Path) -> None:
    for text in ("", "[]", '{"v": 99}\n', "garbage\n+ 0 10 1\n"):
        (tmp_path / "map").write_text(text)
        assert PieceMap(tmp_path / "map").load() is None
    assert PieceMap(tmp_path / "absent").load() is None
    assert PieceMap(None).load() is None
