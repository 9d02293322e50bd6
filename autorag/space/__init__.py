"""The configuration space: typed, conditional knobs and the configs they allow."""

from autorag.space.config import Config
from autorag.space.declared import declared_space, knob_to_json, space_to_json
from autorag.space.domains import Choice, Domain, Number
from autorag.space.space import Apply, CorpusFacts, Knob, Rule, Space, When

__all__ = [
    "Apply",
    "Choice",
    "Config",
    "CorpusFacts",
    "Domain",
    "Knob",
    "Number",
    "Rule",
    "Space",
    "When",
    "declared_space",
    "knob_to_json",
    "space_to_json",
]
