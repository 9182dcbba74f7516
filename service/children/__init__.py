"""Processes beside the service, in bounded memory and without a secret."""
