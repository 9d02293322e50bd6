"""Counters around any measured block.

Names end in their unit. Everything is of the process with all its threads and of the block alone,
except: ``rss_mb`` is resident memory at the end of the block, ``psi_*`` is of the whole machine,
``cgroup_*`` of the process's cgroups, ``gpu_*`` of all GPUs. What cannot be had is None, and
``capabilities`` says why. Their definitions stand in :mod:`collectors.counters.process`,
``.memory``, ``.system``, ``.events`` and ``.gpu``.
"""

from collectors.counters.counters import METRICS, Counters, capabilities

__all__ = ["METRICS", "Counters", "capabilities"]
