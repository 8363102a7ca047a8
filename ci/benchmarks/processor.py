"""The processor by the name of its generation: what is fast on one is not on the next."""

from __future__ import annotations

import platform
from pathlib import Path

# (vendor, family): the first and last model, and the name. See the vendors' lists of CPUID signatures.
GENERATIONS = {
    ("AuthenticAMD", 23): [(0x00, 0x2F, "Zen"), (0x30, 0xFF, "Zen 2")],
    ("AuthenticAMD", 25): [
        (0x00, 0x0F, "Zen 3"), (0x10, 0x1F, "Zen 4"), (0x20, 0x5F, "Zen 3"), (0x60, 0x7F, "Zen 4"),
        (0xA0, 0xAF, "Zen 4"),
    ],
    ("AuthenticAMD", 26): [(0x00, 0x7F, "Zen 5")],
    ("GenuineIntel", 6): [
        (0x3F, 0x3F, "Haswell"), (0x4F, 0x4F, "Broadwell"), (0x55, 0x55, "Skylake or Cascade Lake"),
        (0x6A, 0x6C, "Ice Lake"), (0x8F, 0x8F, "Sapphire Rapids"), (0xAD, 0xAE, "Granite Rapids"),
        (0xCF, 0xCF, "Emerald Rapids"),
    ],
}  # fmt: skip


def processor() -> str:
    """The model's name and the generation, as in "AMD EPYC (Zen 4)"."""
    fields = cpuinfo()
    name = fields.get("model name") or platform.processor() or platform.machine()
    if "cpu family" not in fields:
        return name
    return f"{name} ({generation(fields['vendor_id'], int(fields['cpu family']), int(fields['model']))})"


def generation(vendor: str, family: int, model: int) -> str:
    """The name of the microarchitecture, or the numbers where it isn't known."""
    for first, last, name in GENERATIONS.get((vendor, family), []):
        if first <= model <= last:
            return name
    return f"family {family}, model {model}"


def cpuinfo() -> dict[str, str]:
    """What Linux says about the first processor; nothing elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
