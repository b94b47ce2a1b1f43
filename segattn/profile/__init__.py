"""What a network costs, for any `nn.Module`; imports nothing else of segattn.

flops.py        count(module, *inputs) -> Ledger: every operator, attributed to its module, on `meta` or for real
formulas.py     one formula per operator, and the rules; register() adds one
ledger.py       the rows and their totals
render.py       a ledger as table, CSV, JSON or Markdown
environment.py  where a figure was measured
"""
