"""What the challenge owns: data, representations, metrics, the grader and its report.

Nothing here imports `submission`; a submission is known only as an exported file.
"""
