"""Workload features: documents, queries and traffic turned into numbers that carry over.

What each is stands in ``autorag.features``. Nothing here measures a config.
"""

from collectors.features.models import FeatureModels, installed_models
from collectors.features.traffic import traffic_features
from collectors.features.workload import workload_features

__all__ = ["FeatureModels", "installed_models", "traffic_features", "workload_features"]
