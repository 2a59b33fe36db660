"""The bundled plugins. Each is loaded by path, like any other."""
