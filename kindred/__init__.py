"""What people run against a Kindred service; it imports none of the other rooms."""
