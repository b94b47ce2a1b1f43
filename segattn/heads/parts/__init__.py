"""What heads share; no file here is specific to a mechanism."""
