"""One task: rows of slices become the chunks of every scale. It knows no run, lock or receipt."""
