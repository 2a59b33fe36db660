"""Makes the environment that a checkout runs in. Standard library only: it runs before anything is installed."""
