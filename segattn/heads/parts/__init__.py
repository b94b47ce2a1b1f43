"""What heads share; no file here knows a mechanism."""
