"""Probes, fed with what the real tools print, and with what they should never print."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hive.probes import Machine, cuda, metal, nvidia_smi, nvml, probe, sample
from shared.protocol import HiveFacts, HiveSample

TWO_GPUS = """\
0, NVIDIA GeForce RTX 3090, 24576, 24237, 8.6, 00000000:01:00.0, 550.54.14
1, NVIDIA GeForce RTX 3060, 12288, 11900, 8.6, 00000000:05:00.0, 550.54.14
"""
APPLE = """{"SPDisplaysDataType": [{"_name": "Apple M1 Max",
 "spdisplays_mtlgpufamilysupport": "spdisplays_metal3",
 "spdisplays_vendor": "sppci_vendor_Apple", "sppci_bus": "spdisplays_builtin", "sppci_cores": "32",
 "sppci_device_type": "spdisplays_gpu", "sppci_model": "Apple M1 Max"}]}"""
INTEL_MAC = """\
Graphics/Displays:

    Intel UHD Graphics 630:

      Chipset Model: Intel UHD Graphics 630
      Type: GPU
      Metal Family: Supported, Metal GPUFamily macOS 2

    AMD Radeon Pro 5300M:

      Chipset Model: AMD Radeon Pro 5300M
"""


class FakeNvml:
    """Speaks like the NVML bindings of a machine with one H200."""

    class NVMLError(Exception):
        pass

    class NVMLError_NotSupported(NVMLError):
        pass

    def __init__(self, **answers: Any) -> None:
        self._answers: dict[str, Any] = {
            "nvmlInit": None,
            "nvmlSystemGetDriverVersion": "570.86.15",
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=150_754_820_096, free=150_000_000_000),
            "nvmlDeviceGetCudaComputeCapability": (9, 0),
            "nvmlDeviceGetName": "NVIDIA H200",
            "nvmlDeviceGetPciInfo": SimpleNamespace(busId="00000000:0F:00.0"),
        } | answers

    def __getattr__(self, name: str) -> Any:
        answer = self._answers[name]

        def call(*_: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def machine(**fields: Any) -> Machine:
    nothing: dict[str, Any] = {"run": lambda argv: None, "nvml": None, "system": "linux", "arch": "x86_64"}
    return Machine(Path("/nowhere/yet"), **(nothing | fields))


def test_this_machine_is_told_in_the_words_of_the_protocol() -> None:
    here = Machine(Path.cwd())

    facts = probe(here)

    assert HiveFacts(**facts).capabilities[-1] == "cpu"
    assert HiveSample(**sample(here, facts)).devices["CPU-0"] > 0
    assert 0 < facts["disk_free"] < facts["disk_total"]


def test_a_folder_that_is_not_there_yet_has_the_disk_of_its_parent() -> None:
    facts = probe(machine())

    assert facts["disk_total"] > 0


def test_a_gpu_is_described_by_the_drivers_library() -> None:
    [device] = cuda.devices(machine(nvml=FakeNvml()))

    assert device == {
        "id": "GPU-0",
        "kind": "cuda",
        "name": "NVIDIA H200",
        "memory_total": 150_754_820_096,
        "memory_free": 150_000_000_000,
        "compute_capability": "9.0",
        "driver": "570.86.15",
        "bus_id": "00000000:0F:00.0",
    }


def test_a_gpu_makes_the_hive_capable_of_cuda_and_its_free_memory_is_sampled() -> None:
    here = machine(nvml=FakeNvml())

    facts = probe(here)

    assert facts["capabilities"] == ["cuda", "cpu"]
    assert sample(here, facts)["devices"]["GPU-0"] == 150_000_000_000


def test_a_device_without_memory_of_its_own_shares_the_machines() -> None:
    [device] = (
        nvml.devices(machine(nvml=FakeNvml(nvmlDeviceGetMemoryInfo=FakeNvml.NVMLError_NotSupported()))) or []
    )

    assert device["memory_total"] == probe(machine())["memory_total"]


def test_a_lost_device_is_left_out() -> None:
    lost = FakeNvml(nvmlDeviceGetName=FakeNvml.NVMLError("GPU is lost"))

    assert cuda.devices(machine(nvml=lost)) == []


def test_the_command_is_asked_when_the_library_cannot_be() -> None:
    broken = FakeNvml(nvmlInit=FakeNvml.NVMLError("Driver Not Loaded"))

    devices = cuda.devices(machine(nvml=broken, run=lambda argv: TWO_GPUS))

    assert [device["name"] for device in devices] == ["NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 3060"]
    assert devices[0]["memory_total"] == 24576 * 1024 * 1024


def test_the_query_of_the_command_is_plain_data() -> None:
    assert nvidia_smi.query("/usr/bin/nvidia-smi") == [
        "/usr/bin/nvidia-smi",
        "--query-gpu=index,name,memory.total,memory.free,compute_cap,pci.bus_id,driver_version",
        "--format=csv,noheader,nounits",
    ]


@pytest.mark.parametrize(
    "output",
    [
        "",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
        "No devices were found",
        "0, A100",
        "zero, A100, 1, 1, 8.0, bus, driver",
        "0, A100, [N/A], [N/A], 8.0, bus, driver",
        "0, A100, nan, inf, 8.0, bus, driver",
        "-1, A100, 10, 10, 8.0, bus, driver",
        "\x00\x01\x02,,,,,,",
        "0" * 100_000,
    ],
)
def test_malformed_output_means_no_gpu(output: str) -> None:
    assert nvidia_smi.parse(output) == []


def test_malformed_lines_are_skipped_and_the_rest_is_kept() -> None:
    assert [device["id"] for device in nvidia_smi.parse("garbage\n" + TWO_GPUS + "2, x")] == [
        "GPU-0",
        "GPU-1",
    ]


def test_impossible_numbers_and_names_are_cut() -> None:
    [device] = nvidia_smi.parse(f"0, A{'x' * 999}\x00, with comma, 99999999999, 999999999999, 8.0, b, d")

    assert device["memory_total"] == device["memory_free"] == 1 << 40
    assert len(device["name"]) == 256
    assert "\x00" not in device["name"]


def test_a_mac_has_metal_by_its_json() -> None:
    facts = probe(machine(system="darwin", arch="arm64", run=lambda argv: APPLE if "-json" in argv else None))

    assert facts["capabilities"] == ["metal", "cpu"]
    assert (facts["platform"], facts["arch"]) == ("macos", "arm64")
    assert facts["devices"][0]["name"] == "Apple M1 Max"


def test_a_mac_without_json_is_read_from_text() -> None:
    found = metal.probe(
        machine(system="darwin", run=lambda argv: INTEL_MAC if "-json" not in argv else "{broken")
    )

    assert [device["name"] for device in found["devices"]] == [
        "Intel UHD Graphics 630",
        "AMD Radeon Pro 5300M",
    ]


@pytest.mark.parametrize(
    "output", ["", "[]", "null", '{"SPDisplaysDataType": 3}', '{"SPDisplaysDataType": [3, {}]}']
)
def test_an_intel_mac_with_unreadable_output_has_no_metal(output: str) -> None:
    assert metal.probe(machine(system="darwin", run=lambda argv: output)) == {"devices": []}


def test_an_override_is_taken_as_it_stands() -> None:
    here = machine(nvml=FakeNvml())

    assert probe(here, ("cuda",))["capabilities"] == ["cuda"]
    assert [device["kind"] for device in probe(here, ("cpu",))["devices"]] == ["cpu"]


def test_an_arm_server_keeps_its_linux_name() -> None:
    assert probe(machine(arch="arm64"))["arch"] == "aarch64"
