"""Payments of orders: cards, charges, and what staff do about them."""
