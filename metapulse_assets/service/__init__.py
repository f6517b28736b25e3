"""The HTTP front: jobs, workers, dead letters, signals, tokens, health and figures, for programs.

It reads and writes through the rooms below and decides nothing of their matter. `app.py` puts it together; the pages are in
`routes/`, who may ask and how often in `access/`, what is measured in `health/` and `metrics/`; errors are in `problems.py`.
"""
