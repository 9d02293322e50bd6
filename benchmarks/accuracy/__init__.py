"""How well models predict what they have not seen: the parts of ``model_accuracy``."""
