"""Which files are taken, against the file lists of real repositories (sizes rounded)."""

import pytest

from hive.vendors.gguf_choice import FileSet, choose
from shared.errors import JobFailed

BARTOWSKI = {
    f"Llama-3.2-1B-Instruct-{label}.gguf": size
    for label, size in {
        "f16": 25,
        "Q8_0": 13,
        "Q6_K_L": 11,
        "Q5_K_M": 9,
        "Q4_K_M": 8,
        "Q4_0": 8,
        "IQ3_M": 6,
        "IQ2_M": 4,
    }.items()
}
BARTOWSKI |= {"Llama-3.2-1B-Instruct.imatrix": 1, "README.md": 1, ".gitattributes": 1}
UNSLOTH = {
    **{f"BF16/Qwen3-30B-A3B-BF16-0000{n}-of-00002.gguf": 30 for n in (1, 2)},
    "Qwen3-30B-A3B-UD-Q4_K_XL.gguf": 18,
    "Qwen3-30B-A3B-UD-IQ1_S.gguf": 9,
    "Qwen3-30B-A3B-Q4_K_M.gguf": 19,
    "Qwen3-30B-A3B-UD-Q4_K_M.gguf": 18,
}
SHARDED = {f"Q8_0/DeepSeek-R1.Q8_0-0000{n}-of-00003.gguf": 50 for n in (1, 2, 3)}
SHARDED |= {f"UD-Q2_K_XL/DeepSeek-R1-UD-Q2_K_XL-0000{n}-of-00002.gguf": 20 for n in (1, 2)}
VISION = {
    "gemma-3-4b-it-Q4_K_M.gguf": 25,
    "mmproj-gemma-3-4b-it-bf16.gguf": 8,
    "mmproj-gemma-3-4b-it-f16.gguf": 8,
    "mmproj-gemma-3-4b-it-f32.gguf": 16,
}


def code_of(sizes: dict[str, int], wanted: str | None = None) -> str:
    with pytest.raises(JobFailed) as caught:
        choose("acme/model", sizes, wanted)
    return caught.value.code


def names(chosen: FileSet) -> list[str]:
    return list(chosen.paths)


@pytest.mark.parametrize(
    ("sizes", "taken"),
    [
        (BARTOWSKI, "Llama-3.2-1B-Instruct-Q4_K_M.gguf"),
        (UNSLOTH, "Qwen3-30B-A3B-Q4_K_M.gguf"),
        ({"m.UD-Q4_K_M.gguf": 1, "m.Q5_K_M.gguf": 2}, "m.UD-Q4_K_M.gguf"),
        ({"m-q8_0.gguf": 1, "m-fp16.gguf": 2}, "m-q8_0.gguf"),
        ({"gpt-oss-20b-mxfp4.gguf": 12}, "gpt-oss-20b-mxfp4.gguf"),
        ({"m-BF16.gguf": 40, "m-UD-Q4_K_XL.gguf": 12, "m-UD-Q6_K_XL.gguf": 18}, "m-UD-Q4_K_XL.gguf"),
        ({"m-IQ1_S.gguf": 4, "m-IQ3_XS.gguf": 7, "m-Q6_K.gguf": 12}, "m-IQ3_XS.gguf"),
        ({"m-IQ1_S.gguf": 4, "m-IQ2_M.gguf": 6}, "m-IQ2_M.gguf"),
        ({"model.gguf": 4, "model-F32.gguf": 8}, "model.gguf"),
    ],
)
def test_without_a_file_the_preferred_quantisation_is_taken(sizes: dict[str, int], taken: str) -> None:
    assert names(choose("acme/model", sizes, None)) == [taken]


def test_a_sharded_quantisation_is_taken_whole() -> None:
    chosen = choose("acme/model", SHARDED, None)

    assert names(chosen) == [f"Q8_0/DeepSeek-R1.Q8_0-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    assert (chosen.size, chosen.label) == (150, "Q8_0")


@pytest.mark.parametrize(
    "wanted", ["ud-q2_k_xl", "Q2_K_XL", "UD-Q2_K_XL/DeepSeek-R1-UD-Q2_K_XL-00002-of-00002.gguf"]
)
def test_a_label_or_any_shard_names_the_whole_set(wanted: str) -> None:
    chosen = choose("acme/model", SHARDED, wanted)

    assert names(chosen) == [f"UD-Q2_K_XL/DeepSeek-R1-UD-Q2_K_XL-0000{n}-of-00002.gguf" for n in (1, 2)]


def test_a_plain_label_means_the_plain_file_where_there_is_one() -> None:
    assert names(choose("acme/model", UNSLOTH, "Q4_K_M")) == ["Qwen3-30B-A3B-Q4_K_M.gguf"]
    assert names(choose("acme/model", UNSLOTH, "Q4_K_XL")) == ["Qwen3-30B-A3B-UD-Q4_K_XL.gguf"]


def test_a_vision_model_comes_with_one_projector() -> None:
    assert names(choose("acme/model", VISION, None)) == [
        "gemma-3-4b-it-Q4_K_M.gguf",
        "mmproj-gemma-3-4b-it-f16.gguf",
    ]


def test_a_file_named_exactly_comes_alone() -> None:
    assert names(choose("acme/model", VISION, "gemma-3-4b-it-Q4_K_M.gguf")) == ["gemma-3-4b-it-Q4_K_M.gguf"]


def test_a_file_may_be_named_without_its_folder_and_case() -> None:
    assert names(choose("acme/model", {"sub/M.Q8_0.gguf": 1}, "m.q8_0.GGUF")) == ["sub/M.Q8_0.gguf"]


def test_sharded_safetensors_are_a_set_when_one_is_named() -> None:
    sizes = {"config.json": 1} | {f"model-0000{n}-of-00002.safetensors": 5 for n in (1, 2)}

    assert names(choose("acme/model", sizes, "model-00001-of-00002.safetensors")) == sorted(sizes)[1:]


def test_a_missing_shard_is_named() -> None:
    broken = {path: size for path, size in SHARDED.items() if "00002-of-00003" not in path}

    with pytest.raises(JobFailed, match="lacks shard 2 of the 3 of Q8_0") as caught:
        choose("acme/model", broken, "Q8_0")

    assert caught.value.code == "incomplete_shards"
    assert choose("acme/model", broken, None).label == "UD-Q2_K_XL"


def test_a_file_that_is_not_there_brings_the_nearest_names() -> None:
    with pytest.raises(JobFailed) as caught:
        choose("acme/model", BARTOWSKI, "Llama-3.2-1B-Instruct-Q4_KM.gguf")

    assert caught.value.code == "file_not_found"
    assert "Llama-3.2-1B-Instruct-Q4_K_M.gguf" in str(caught.value.hint)
    assert len(caught.value.details or []) == 5


def test_a_repository_without_gguf_tells_what_it_holds() -> None:
    with pytest.raises(JobFailed) as caught:
        choose(
            "acme/model",
            {"config.json": 1, "a.safetensors": 1, "b.safetensors": 1, "pytorch_model.bin": 1},
            None,
        )

    assert caught.value.code == "no_gguf"
    assert caught.value.message == "acme/model holds no GGUF file, only 2 .safetensors files, 1 .bin file."


@pytest.mark.parametrize(
    ("sizes", "wanted", "code"),
    [
        ({}, None, "no_gguf"),
        ({}, "x.gguf", "file_not_found"),
        ({"mmproj-f16.gguf": 1, "imatrix.gguf": 1}, None, "no_gguf"),
        ({"pytorch_model.bin": 1}, "pytorch_model.bin", "unsafe_format"),
        ({"model.CKPT": 1}, "model.CKPT", "unsafe_format"),
    ],
)
def test_what_cannot_be_taken_has_a_code(sizes: dict[str, int], wanted: str | None, code: str) -> None:
    assert code_of(sizes, wanted) == code
