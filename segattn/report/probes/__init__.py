"""What `segattn study probes` found: tables and a figure for each task, from its record alone."""
