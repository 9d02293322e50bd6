"""Judging a pipeline: gold units, ranking and answer metrics, paired comparisons."""
