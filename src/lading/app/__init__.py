"""Composition: settings in, one ASGI application out. The only room that knows every other."""
