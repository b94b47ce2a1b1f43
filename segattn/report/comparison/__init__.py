"""The comparison of networks.

compare.py   the differences and their tests
without.py   both networks with their mechanisms cut out
words.py     the summary, what columns mean, caveats
tables.py    Markdown, CSV and LaTeX; terminal.py: the same in the terminal
several.py   more than two networks against the first; several_text.py: all its texts
page.py      the HTML page, of the same pieces as the study's
"""
