"""The parts of tools/verify.py, by subject. Written from docs/format/*.md alone."""
