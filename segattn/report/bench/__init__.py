"""The page of bench records."""
