"""The server: its guard, its addresses, its pages."""
