"""What every connection and every request comes past."""
