"""Values that every room speaks: names, digests, media types, errors, the clock. Imports no other room."""
