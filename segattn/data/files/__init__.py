"""Reading of images, masks and pairs of files."""
