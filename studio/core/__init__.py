"""Plain values that every layer may use: no Qt, torch, pydantic or pluggy."""
