"""
Measures what the shim costs, in ratios of pairs that were timed in turns.

Budgets are printed beside the ratios, and never fail anything: timings say more about a machine
than about a program. What can be counted is tested: modules imported, wrapt not imported, the
same function objects.

"""
