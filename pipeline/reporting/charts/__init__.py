"""Charts of pages as inline SVG."""
