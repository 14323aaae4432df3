"""`unmask doctor`: whether this installation and this machine can do what unmask does."""
