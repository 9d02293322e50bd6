"""What the measured table teaches; ``benchmarks/table_lessons.py`` is the command."""
