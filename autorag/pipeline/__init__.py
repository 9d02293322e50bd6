"""The reference RAG pipeline: parse, chunk, embed, index, retrieve, rerank, generate."""
