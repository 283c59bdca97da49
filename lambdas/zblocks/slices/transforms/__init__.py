"""What is done to the rows of a slice before they are rows of the volume."""
