"""`segattn study probes`: which networks are trained, the proof before it, the runs, and the record of each task."""
