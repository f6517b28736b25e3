"""Tests of what is delivered: the image, Compose's file, the CI workflow."""
