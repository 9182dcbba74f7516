"""Embeddings in, decisions out. NumPy and FAISS, nothing else."""
