"""What the machine is and how fast: identity, roofline, and the rates of the pipeline's parts."""

from collectors.hardware.identity import read_identity
from collectors.hardware.profile import Machine, machine_profile, measure_profile

__all__ = ["Machine", "machine_profile", "measure_profile", "read_identity"]
