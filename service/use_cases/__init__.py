"""What is done for a caller, with no web framework and no Redis in sight."""
