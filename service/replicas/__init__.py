"""Every gallery in memory, kept level with the store."""
