"""Ratios to what the machine, or a user without Kindred, would give."""
