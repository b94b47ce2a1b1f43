"""The comparison of two networks.

compare.py   the differences and their tests
without.py   both networks with their mechanisms cut out
words.py     the summary, what columns mean, caveats
tables.py    Markdown, CSV and LaTeX; terminal.py: the same in the terminal
page.py      the HTML page, of the same pieces as the study's
"""
