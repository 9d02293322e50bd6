"""Analytic models: work counted from the workload and the config, turned into time by rates."""
