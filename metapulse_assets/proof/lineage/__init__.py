"""The way of a signal back to bytes: one module a kind of link, each reading stored rows and comparing what they say."""
