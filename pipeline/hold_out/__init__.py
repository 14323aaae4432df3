"""Use case: trains heads anew without some people and forgery methods, and tests them on these."""
