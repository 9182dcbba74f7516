"""What the commands do; `kindred.cli` imports the one that was asked for."""
