"""Bags and orders."""
