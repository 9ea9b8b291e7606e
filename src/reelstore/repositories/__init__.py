"""The metadata: what is stored where is computed; what exists, and who refers to it, is kept here."""
