"""Tables of posts as they were read, how they were received, and what reading them cost."""
