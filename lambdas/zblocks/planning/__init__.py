"""A config and the headers of its slices become a plan: scales, blocks, memory, time and cost."""
