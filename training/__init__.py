"""Offline work: fit, evaluate, export. Only here: torch."""
