"""Samples → embeddings: decoded in processes of their own, embedded in batches."""
