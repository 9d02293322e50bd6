"""The measured table: its schema, the configs it holds, reading it, and answering from it."""
