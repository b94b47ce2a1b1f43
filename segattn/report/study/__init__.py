"""The report of a study.

study.py          records read and gathered into rows; rows.py: a run, and the row of one head in one mode
contrast.py       one row against another, paired by seed where both have the same seeds
verdict.py        which rows are not distinguishable from the first or the baseline; sensitivity.py: seeds and images needed
summary.py        the reader's summary, at most five sentences
words.py          the finding, what columns mean, caveats; certainty.py: tests and marks in words
protocol.py       what was run and where; settings.py: a configuration as single settings
classes.py        accuracy class by class; details.py: boundaries, sizes and widths
contribution.py   learnt gates, and accuracy with the mechanism cut out
start.py          how heads start that start from a trunk, and networks of the zoo beside them
bench_columns.py  latency and memory, from bench records
published.py      rows of others beside ours
tables.py         Markdown, CSV and LaTeX; columns.py: the columns of the CSV
terminal.py       the same table in the terminal; legend.py: its marks in a few lines; next_steps.py: what to type next
figures.py        accuracy against cost, classes; curves.py: training curves
pictures.py       example predictions; looks.py: attention maps from a few telling pixels
page.py           the HTML page
"""
