"""What a network costs, for any `nn.Module`; imports nothing else of segattn.

flops.py        count(module, *inputs) -> Ledger: every operator, attributed to its module, on `meta` or for real
formulas.py     one formula per operator, and the rules; register() adds one
ledger.py       the rows and their totals
render.py       a ledger as table, CSV, JSON or Markdown; markdown.py: the one writer of Markdown tables
recording.py    the distinct calls of a forward pass, each to be run again alone
other_counters.py  what other counters say of a module, and for which calls and why they differ
worker.py       a piece of work in a process of its own, which is told when to run
memory.py       peak memory of a piece of work
latency.py      times of several pieces of work, taken in turns
liveness.py     bytes held at once, found on fake tensors; scratch.py and fused_attention.py: what kernels hold
limits.py       products and copies: what the machine can do
environment.py  where a figure was measured
"""
