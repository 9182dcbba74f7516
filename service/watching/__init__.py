"""What people see of a running service: series, log lines, drift, canaries."""
