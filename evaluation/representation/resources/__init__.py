"""Processes and memory, as the kernel of Linux shows, shares and caps them."""
