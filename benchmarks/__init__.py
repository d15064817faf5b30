"""What the performance claims are measured with. Nothing in the product imports it.

python -m benchmarks [--smoke] [--only NAME] [--json FILE]
"""
