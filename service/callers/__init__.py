"""Who calls, by which key, from which page, and how much each may ask for."""
