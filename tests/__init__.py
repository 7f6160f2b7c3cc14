"""Tests mirror the source; integration/ holds whole journeys."""
