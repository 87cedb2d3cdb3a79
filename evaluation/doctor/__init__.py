"""What this machine has, what the kit will use of it, and what is missing for which feature."""
