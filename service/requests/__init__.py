"""What comes in, as values: samples and fields, each within its limits."""
