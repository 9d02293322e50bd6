"""A machine and its complete profile, made up."""

from __future__ import annotations

from autorag.hardware import FIGURES, Cache, HardwareProfile, Identity, Rate

VALUES = {
    "gemm_f32_one_gflops": 95.0,
    "gemm_f32_all_gflops": 190.0,
    "gemm_int8_one_gops": 400.0,
    "gemm_int8_all_gops": 780.0,
    "copy_one_gb_s": 22.0,
    "copy_all_gb_s": 36.0,
    "triad_one_gb_s": 32.0,
    "triad_all_gb_s": 44.0,
    "random_access_ns": 175.0,
    "disk_write_mb_s": 1800.0,
    "disk_read_mb_s": 1000.0,
    "flat_scan_gb_s": 24.0,
    "pq_scan_gb_s": 22.0,
    "hnsw_distances_s": 6.3e6,
    "bm25_postings_s": 5.0e8,
    "embed_32_one_tokens_s": 3200.0,
    "embed_32_all_tokens_s": 5200.0,
    "embed_128_one_tokens_s": 3550.0,
    "embed_128_all_tokens_s": 6040.0,
    "embed_512_one_tokens_s": 3300.0,
    "embed_512_all_tokens_s": 5870.0,
    "static_tokens_s": 5.6e5,
    "maxsim_pairs_s": 3.1e4,
    "ttft_one_ms": 920.0,
    "ttft_all_ms": 530.0,
    "prefill_one_tokens_s": 279.0,
    "prefill_all_tokens_s": 495.0,
    "decode_one_tokens_s": 46.0,
    "decode_all_tokens_s": 63.0,
}


def machine() -> Identity:
    """A small server."""
    return Identity(
        cpu_model="Example CPU <3> (family 25, model 17)",
        architecture="x86_64",
        isa=("avx2", "avx512_vnni"),
        caches=(Cache(2, "unified", 1024, 2), Cache(3, "unified", 32768, 1)),
        usable_cores=2,
        affinity_cores=4,
        cpu_quota=2.5,
        memory_mb=24_800.0,
        gpus=(),
        kernel="6.1.0-18-generic",
        software={"probes": "1", "numpy": "2.0"},
    )


def profile() -> HardwareProfile:
    """Every figure measured, nothing missing but the GPU."""
    rates = {name: Rate(VALUES[name], 0.02, info.unit, 7, 0.01) for name, info in FIGURES.items()}
    return HardwareProfile(machine(), rates, {"gpu": "NVML: none"}, "full", 44.0, 1.8e9)
