"""What every operator computes, in NumPy: the oracle of passes and backends, slow and obvious.

One family of operators a file, as in `netdsl.ops`. A function takes the resolved operator, its operands and weights.
Operands and results have the rows in front: `N x C x H x W`, where N is 1 for what does not depend on the sample.
Weights have no rows.
"""
