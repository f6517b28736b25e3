"""Tables of what security scanners say of tokens."""
