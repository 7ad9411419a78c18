"""Which accelerators are known, by name? Their memory, speed, and what XLA must be told to compile for them.

All numbers are those of one chip with its full power limit, dense (without structured sparsity).

References:
    NVIDIA (2023), "H100 Tensor Core GPU datasheet", and "H100 Tensor Core GPU Architecture", table 2 (SXM5).
    NVIDIA (2024), "H200 Tensor Core GPU datasheet" (SXM).
    NVIDIA (2021), "A100 Tensor Core GPU datasheet" (SXM4, 80 GB), and "A100 Tensor Core GPU Architecture".
    Google Cloud documentation, "TPU v5e" and "TPU v6e", system architecture.
    OpenXLA, ``xla/tools/hlo_opt/gpu_specs``: examples of GPU descriptions (GpuTargetConfigProto).
"""

from __future__ import annotations

from dataclasses import dataclass

# Share of the datasheet's bandwidth that long copies reach. 3.0 of 3.35 TB/s on an H100; the others are
# taken to do as well.
_REACHED = 0.9


@dataclass(frozen=True)
class Chip:
    """An accelerator that programs can be compiled for, also where there is none.

    Attributes:
        name: as in ``--for h100``.
        label: as its maker calls it.
        platform: ``gpu`` or ``tpu``.
        memory: bytes.
        bandwidth: bytes per second between memory and chip, by the datasheet.
        bfloat16: FLOP/s of matrix products of bfloat16 with float32 sums.
        float32: FLOP/s of matrix products of float32 at XLA's default precision: TF32 on GPUs, one pass
            of bfloat16 on TPUs.
        target: what XLA is told: a GpuTargetConfigProto as text, or the name of the smallest TPU topology.
    """

    name: str
    label: str
    platform: str
    memory: int
    bandwidth: float
    bfloat16: float
    float32: float
    target: str

    @property
    def reached(self) -> float:
        """Bytes per second that a program can hope for."""
        return _REACHED * self.bandwidth

    def peak(self, dtype: str) -> float:
        """FLOP/s of matrix products in ``float32`` or ``bfloat16``."""
        return self.bfloat16 if dtype == "bfloat16" else self.float32


def _gpu_target(
    label: str,
    capability: int,
    processors: int,
    lanes: int,
    shared_kib: int,
    cache_mib: int,
    gigahertz: float,
    bandwidth: float,
    memory: int,
) -> str:
    """XLA's description of a GPU, in the text form of GpuTargetConfigProto.

    Args:
        label: name that the driver gives the device.
        capability: major compute capability.
        processors: streaming multiprocessors.
        lanes: float32 operations that each starts per clock.
        shared_kib: shared memory of each; a block may use all but 1 KiB.
        cache_mib: L2 cache.
        gigahertz: highest clock of the multiprocessors.
        bandwidth: bytes per second.
        memory: bytes the driver reports.
    """
    return f"""
gpu_device_info {{
  cuda_compute_capability {{ major: {capability} minor: 0 }}
  core_count: {processors} fpus_per_core: {lanes} clock_rate_ghz: {gigahertz}
  shared_memory_per_core: {shared_kib << 10} shared_memory_per_block_optin: {(shared_kib - 1) << 10}
  memory_bandwidth: {bandwidth:.0f} l2_cache_size: {cache_mib << 20} device_memory_size: {memory}
  shared_memory_per_block: {48 << 10} registers_per_core_limit: {1 << 16} registers_per_block_limit: {1 << 16}
  threads_per_warp: 32 threads_per_block_limit: 1024 threads_per_core_limit: 2048
  block_dim_limit_x: {2**31 - 1} block_dim_limit_y: {2**16 - 1} block_dim_limit_z: {2**16 - 1}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
runtime_version {{ major: 13 minor: 0 patch: 0 }}
device_description_str: "{label}"
"""


def _h100() -> Chip:
    label, memory, bandwidth = "NVIDIA H100 80GB HBM3", 84_942_979_072, 3.352e12
    target = _gpu_target(label, 9, 132, 128, 228, 50, 1.98, bandwidth, memory)
    return Chip("h100", label, "gpu", memory, bandwidth, 989.4e12, 494.7e12, target)


def _h200() -> Chip:
    label, memory, bandwidth = "NVIDIA H200", 150_110_011_392, 4.8e12
    target = _gpu_target(label, 9, 132, 128, 228, 50, 1.98, bandwidth, memory)
    return Chip("h200", label, "gpu", memory, bandwidth, 989.4e12, 494.7e12, target)


def _a100() -> Chip:
    label, memory, bandwidth = "NVIDIA A100-SXM4-80GB", 84_987_740_160, 2.039e12
    target = _gpu_target(label, 8, 108, 64, 164, 40, 1.41, bandwidth, memory)
    return Chip("a100", label, "gpu", memory, bandwidth, 312e12, 156e12, target)


def _tpu(generation: str, gibibytes: int, bandwidth: float, bfloat16: float) -> Chip:
    name, label = f"tpu-{generation}", f"TPU {generation}"
    return Chip(name, label, "tpu", gibibytes << 30, bandwidth, bfloat16, bfloat16, f"{generation}:2x2")


CHIPS = {
    chip.name: chip
    for chip in (_h100(), _h200(), _a100(), _tpu("v5e", 16, 819e9, 197e12), _tpu("v6e", 32, 1638e9, 918e12))
}


def chip_named(name: str) -> Chip:
    """A known chip.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in CHIPS:
        raise ValueError(f"chip {name!r}: must be one of {', '.join(CHIPS)}")
    return CHIPS[name]
