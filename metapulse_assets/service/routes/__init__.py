"""The pages, one module a subject: what may be asked, and the answer's shape."""
