from tests.fixtures.session import engine, picture, pictures, session

__all__ = ["engine", "picture", "pictures", "session"]
