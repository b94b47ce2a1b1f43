"""The page of bench records.

groups.py    each case beside the machine's limits and its reference form
scaling.py   how time and memory grow with the map, and where curves cross
words.py     the machine and its limits, what failed, what columns mean
tables.py    terminal, Markdown and CSV
figures.py   times, roofline, growth
page.py      the HTML page
"""
