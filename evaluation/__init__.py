"""What the challenge owns: data, representations, metrics, the grader and its report.

Nothing here imports `submission`. This package sees a submission only as an exported file.
"""
