"""What `ci/bench.py` measures, and how."""
