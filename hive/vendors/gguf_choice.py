"""Which files of a repository make the model that was asked for: from paths and sizes to a set of files."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hive.quantities import counted
from hive.quantization import PREFERENCE, SHARD, as_label, base_of, bits_of, label_of
from shared.errors import JobFailed

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
"""Formats that run code when they are loaded."""

_PROJECTOR_ORDER = ("F16", "BF16", "F32", "Q8_0")
_NEAREST = 5


@dataclass(frozen=True)
class FileSet:
    """One model in one quantisation: a file, or all its shards."""

    paths: tuple[str, ...]
    size: int
    label: str | None
    missing: tuple[int, ...] = ()
    """Numbers of the shards that the repository lacks."""


def choose(repo: str, sizes: Mapping[str, int], wanted: str | None) -> FileSet:
    """The set for `repo[:wanted]`; `sizes` is every path of the repository with its bytes.

    Raises JobFailed: no_gguf, file_not_found, incomplete_shards, unsafe_format.
    """
    sets = _sets(sizes, "gguf")
    if wanted is None:
        return _with_projector(_automatic(repo, sizes, sets), sizes)
    if path := _path_named(wanted, sizes):
        return _explicit(repo, path, sizes)
    if labelled := _labelled(wanted, sets):
        return _with_projector(_whole(repo, labelled), sizes)
    raise _not_found(repo, wanted, sizes)


def _automatic(repo: str, sizes: Mapping[str, int], sets: Iterable[FileSet]) -> FileSet:
    candidates = list(sets)
    if not candidates:
        raise _no_gguf(repo, sizes)
    whole = [candidate for candidate in candidates if not candidate.missing]
    return min(whole, key=_rank) if whole else _whole(repo, min(candidates, key=_rank))


def _rank(candidate: FileSet) -> tuple[int, int, int, str]:
    """Preferred labels in their order; then, smallest first, other quantisations of 3 bits or more and files
    without a label; then the largest of fewer bits, for the least damage; full precision last."""
    label, first = candidate.label, candidate.paths[0]
    if label and base_of(label) in PREFERENCE:
        return 0, PREFERENCE.index(base_of(label)), int(label != base_of(label)), first
    bits = bits_of(label) if label else None
    if bits is None:
        return 2, candidate.size, 0, first
    if bits < 3:
        return 3, -candidate.size, 0, first
    return (1 if bits < 16 else 4), candidate.size, 0, first


def _explicit(repo: str, path: str, sizes: Mapping[str, int]) -> FileSet:
    if path.lower().endswith(PICKLES):
        raise JobFailed(
            f"{path} of {repo} is a pickle, a format that can run code when it is loaded.",
            code="unsafe_format",
            hint="Name a .gguf or .safetensors file.",
        )
    if shard := SHARD.fullmatch(path):
        return _whole(repo, next(found for found in _sets(sizes, shard["ext"]) if path in found.paths))
    return FileSet((path,), sizes[path], label_of(path))


def _whole(repo: str, candidate: FileSet) -> FileSet:
    if not candidate.missing:
        return candidate
    total = len(candidate.paths) + len(candidate.missing)
    numbers = ", ".join(str(number) for number in candidate.missing[:_NEAREST])
    raise JobFailed(
        f"{repo} lacks shard {numbers} of the {total} of {candidate.label or candidate.paths[0]}.",
        code="incomplete_shards",
        hint="Ask for another quantisation, or try again when its upload is complete.",
    )


def _labelled(wanted: str, sets: Iterable[FileSet]) -> FileSet | None:
    label = as_label(wanted)
    if label is None:
        return None
    exact = [candidate for candidate in sets if candidate.label == label]
    near = [candidate for candidate in sets if candidate.label and base_of(candidate.label) == label]
    return min(exact or near, key=lambda found: (bool(found.missing), found.paths[0]), default=None)


def _path_named(wanted: str, sizes: Mapping[str, int]) -> str | None:
    """A path as it stands, or the only one with that file name, whatever its case."""
    if wanted in sizes:
        return wanted
    lower = wanted.lower()
    same = [path for path in sizes if lower in {path.lower(), _file_name(path)}]
    return same[0] if len(same) == 1 else None


def _sets(sizes: Mapping[str, int], ending: str) -> list[FileSet]:
    """All models of one format, shards gathered."""
    groups: dict[tuple[str, int], dict[int, str]] = {}
    for path in sorted(sizes):
        if not path.lower().endswith(f".{ending.lower()}") or _is_companion(path):
            continue
        shard = SHARD.fullmatch(path)
        key = (shard["stem"], int(shard["total"])) if shard else (path, 1)
        groups.setdefault(key, {})[int(shard["number"]) if shard else 1] = path
    return [_set_of(total, shards, sizes) for (_, total), shards in groups.items()]


def _set_of(total: int, shards: Mapping[int, str], sizes: Mapping[str, int]) -> FileSet:
    paths = tuple(shards[number] for number in sorted(shards))
    missing = tuple(number for number in range(1, total + 1) if number not in shards)
    return FileSet(paths, sum(sizes[path] for path in paths), label_of(paths[0]), missing)


def _is_companion(path: str) -> bool:
    """Projectors, importance matrices and vocabularies are no models."""
    name = _file_name(path)
    return "mmproj" in name or "imatrix" in name or name.startswith("ggml-vocab")


def _with_projector(chosen: FileSet, sizes: Mapping[str, int]) -> FileSet:
    """A vision model needs its projector: one, better beside the model than elsewhere, better f16."""
    projectors = [path for path in sizes if path.lower().endswith(".gguf") and "mmproj" in _file_name(path)]
    if not projectors:
        return chosen
    folder = chosen.paths[0].rpartition("/")[0]

    def rank(path: str) -> tuple[bool, int, str]:
        label = label_of(path)
        order = _PROJECTOR_ORDER.index(label) if label in _PROJECTOR_ORDER else len(_PROJECTOR_ORDER)
        return path.rpartition("/")[0] != folder, order, path

    projector = min(projectors, key=rank)
    return FileSet((*chosen.paths, projector), chosen.size + sizes[projector], chosen.label)


def _file_name(path: str) -> str:
    return path.rsplit("/", 1)[-1].lower()


def _no_gguf(repo: str, sizes: Mapping[str, int]) -> JobFailed:
    endings = ("safetensors", "onnx", "bin", "pt", "pth", "ckpt")
    counts = {end: sum(path.lower().endswith(f".{end}") for path in sizes) for end in endings}
    there = ", ".join(counted(count, f".{end} file") for end, count in counts.items() if count)
    return JobFailed(
        f"{repo} holds no GGUF file" + (f", only {there}." if there else " and no other model file."),
        code="no_gguf",
        hint=f"Search for a GGUF conversion of {repo.rsplit('/', 1)[-1]}, or name one file as {repo}:file.",
    )


def _not_found(repo: str, wanted: str, sizes: Mapping[str, int]) -> JobFailed:
    models = [path for path in sizes if path.lower().endswith((".gguf", ".safetensors"))] or list(sizes)
    by_lower = {path.lower(): path for path in models}
    near = difflib.get_close_matches(wanted.lower(), by_lower, n=_NEAREST, cutoff=0.3)
    names = [by_lower[name] for name in near] or sorted(models)[:_NEAREST]
    return JobFailed(
        f"{repo} has no file and no quantisation {wanted}.",
        code="file_not_found",
        hint=f"Nearest: {', '.join(names)}." if names else f"{repo} is empty.",
        details=[{"file": name} for name in names],
    )
