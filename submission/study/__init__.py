"""Studies: many trainings and gradings of one config, described by a TOML file."""
