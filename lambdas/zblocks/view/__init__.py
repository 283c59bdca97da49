"""A volume in Neuroglancer: contrast, a local server, and the check of public access."""
