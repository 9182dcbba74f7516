"""Random batches of embeddings to try losses on."""

import torch


def batch(seed=0, labels=5, samples=3, dimension=4, *, unit=True):
    """Return P·K embeddings (n, d) that ask for a gradient, and their labels, shuffled."""
    torch.manual_seed(seed)
    embeddings = torch.randn(labels * samples, dimension, dtype=torch.float64)
    if unit:
        embeddings = torch.nn.functional.normalize(embeddings, dim=1)
    owners = torch.arange(labels).repeat_interleave(samples)
    return embeddings.requires_grad_(), owners[torch.randperm(len(owners))]
