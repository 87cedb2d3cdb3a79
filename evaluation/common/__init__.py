"""What both packages use: errors, terminal, files, environment, devices, flags and gin."""
