"""How to make pseudo-queries; ``benchmarks/pseudo_queries.py`` is the command."""
