"""AutoRAG: a learned auto-configuration service for RAG systems.

The core package: the language of the domain and every decision. It imports none of the outer
packages (``collectors``, ``models``, ``store``, ``api``).
"""

__version__ = "0.1.0"
