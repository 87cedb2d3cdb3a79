"""What both houses stand on: errors, terminal, files, environment, devices, flags and gin."""
