"""States of products, bags and orders."""
