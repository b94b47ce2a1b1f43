"""Time, memory and work of networks on this machine, measured and predicted.

cases.py     what can be measured: the cases of a command, with the tensors and the work of each
piece.py     a case as a task, built in a process of its own
run.py       run(cases, ...) -> BenchRecord: memory case by case, times in turns, with the machine's limits
summary.py   samples summarised as figures
peak.py      peak memory predicted without running
budget.py    the networks within a budget of operations, memory or time
choice.py     trained networks within a budget, and their Pareto front
"""
