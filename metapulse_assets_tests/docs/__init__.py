"""Tests of the documents: what they name exists, and their examples run."""
