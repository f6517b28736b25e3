"""A stand-in for the outside vendors: the same routes, shapes, limits and failures, served over HTTP on loopback.

Nothing here is imported by the rest of the package: the sandbox is started as a process of its own
(``python -m metapulse_assets.sandbox``) or inside a test (``metapulse_assets.sandbox.server.running``).
"""
