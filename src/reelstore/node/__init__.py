"""The node: a program that serves a folder as a storage server over HTTP; it knows no metadata."""
