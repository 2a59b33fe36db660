from tests.fixtures.session import engine, picture, pictures, session
from tests.fixtures.wheels import package, pip_index, wheel

__all__ = ["engine", "package", "picture", "pictures", "pip_index", "session", "wheel"]
