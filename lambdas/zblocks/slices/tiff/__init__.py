"""TIFF files: directories, pages, and a page as a file of its own."""
