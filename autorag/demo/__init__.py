"""The built-in demo workload: the standard library's documentation and questions about it.

It needs no network and no third-party data, so every feature can be tried on a bare install.
"""

from autorag.demo.questions import demo_questions
from autorag.demo.stdlib_docs import DocRecord, stdlib_documents

__all__ = ["DocRecord", "demo_questions", "stdlib_documents"]
