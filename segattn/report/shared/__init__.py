"""What the pages and tables of a study, a comparison and a benchmark share."""
