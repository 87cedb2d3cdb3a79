"""Many jobs, such as gradings: one after another, in processes of this machine, or on Ray."""
