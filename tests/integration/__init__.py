"""Whole journeys, over real sockets and in processes that are killed."""
