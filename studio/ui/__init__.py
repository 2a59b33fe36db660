"""The widgets. They bind to `studio.state` and hold no state of their own."""
