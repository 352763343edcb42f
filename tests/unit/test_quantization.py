"""Labels of files as they really are named on the hub."""

import pytest

from hive.quantization import as_label, bits_of, label_of


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf", "Q4_K_M"),
        ("llama-2-7b-chat.Q2_K.gguf", "Q2_K"),
        ("Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "Q4_K_M"),
        ("Meta-Llama-3.1-8B-Instruct-Q6_K_L.gguf", "Q6_K_L"),
        ("Meta-Llama-3.1-8B-Instruct-IQ2_XXS.gguf", "IQ2_XXS"),
        ("Meta-Llama-3.1-8B-Instruct-IQ4_NL.gguf", "IQ4_NL"),
        ("Meta-Llama-3.1-8B-Instruct-Q4_0_4_8.gguf", "Q4_0_4_8"),
        ("Qwen2.5-0.5B-Instruct-f16.gguf", "F16"),
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("qwen2.5-7b-instruct-q5_k_m-00001-of-00002.gguf", "Q5_K_M"),
        ("qwen2.5-0.5b-instruct-fp16.gguf", "F16"),
        ("Qwen3-30B-A3B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("Qwen3-30B-A3B-UD-IQ1_S.gguf", "UD-IQ1_S"),
        ("Qwen3-235B-A22B-UD-Q8_K_XL-00001-of-00006.gguf", "UD-Q8_K_XL"),
        ("UD-Q2_K_XL/DeepSeek-R1-0528-UD-Q2_K_XL-00001-of-00006.gguf", "UD-Q2_K_XL"),
        ("BF16/Qwen3-32B-BF16-00001-of-00002.gguf", "BF16"),
        ("Q8_0/model-00001-of-00003.gguf", "Q8_0"),
        ("DeepSeek-R1.Q8_0/DeepSeek-R1-00001-of-00015.gguf", "Q8_0"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("Qwen3-Next-80B-MXFP4_MOE.gguf", "MXFP4_MOE"),
        ("gpt-oss-20b-F16.gguf", "F16"),
        ("Model.i1-Q4_K_S.gguf", "Q4_K_S"),
        ("Model.i1-IQ3_XS.gguf", "IQ3_XS"),
        ("ggml-model-Q4_K_M.gguf", "Q4_K_M"),
        ("Falcon3-7B-Instruct-TQ1_0.gguf", "TQ1_0"),
        ("mistral-7b-v0.1-bf16-Q5_0.gguf", "Q5_0"),
        ("mmproj-F16.gguf", "F16"),
        ("model-q4-k-m.gguf", "Q4_K_M"),
        ("IQ3_KS/Kimi-K2-smol-IQ3_KS-00001-of-00010.gguf", "IQ3_KS"),
        ("phi-2.gguf", None),
        ("AQ4_K_Model.gguf", None),
    ],
)
def test_a_label_is_read_from_a_real_file_name(path: str, label: str | None) -> None:
    assert label_of(path) == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("q4_k_m", "Q4_K_M"),
        ("Q4-K-M", "Q4_K_M"),
        ("ud-q4_k_xl", "UD-Q4_K_XL"),
        ("model-Q4_K_M.gguf", None),
        ("", None),
    ],
)
def test_only_a_whole_text_is_a_label(text: str, label: str | None) -> None:
    assert as_label(text) == label


@pytest.mark.parametrize(
    ("label", "bits"), [("UD-IQ2_XXS", 2), ("Q4_K_M", 4), ("BF16", 16), ("MXFP4", 4), ("F32", 32)]
)
def test_a_label_tells_its_bits(label: str, bits: int) -> None:
    assert bits_of(label) == bits
