"""What a participant hands in, and how it is kept harmless while it runs."""
